import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { delimiter, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Account } from '../kept/account.js';

/** Why a command cannot be run, as an error code of the system; `CWD` if its user may not enter the directory. */
export type Fault = 'ENOENT' | 'EACCES' | 'CWD';

export interface Wanted {
  readonly program: string;
  readonly cwd: string;
  /** The app's PATH. */
  readonly path: string;
  readonly account: Account;
  /** If given, the kernel is asked when file modes seem to forbid access. */
  readonly setpriv: string | undefined;
}

const interpreterBytes = 256;

/**
 * Why a user cannot run a command; undefined if no reason is found. Checked beforehand, since the shell that becomes the command could
 * report only its exit. Ignores a missing directory, which the caller reports.
 */
export async function faultOf({ program, cwd, path, account, setpriv }: Wanted): Promise<Fault | undefined> {
  const may = (file: string, directory: boolean) => mayExecute(file, directory, account, setpriv);
  if (!(await may(cwd, true))) return (await isDirectory(cwd)) ? 'CWD' : undefined;
  const candidates = program.includes('/')
    ? [resolve(cwd, program)]
    : path.split(delimiter).map((directory) => resolve(cwd, directory, program));
  let fault: Fault = 'ENOENT';
  for (const file of candidates) {
    const found = await stat(file).catch((error: NodeJS.ErrnoException) => error);
    if (found instanceof Error) {
      if (found.code === 'EACCES') fault = 'EACCES';
      continue;
    }
    if (found.isFile() && (await may(file, false))) return (await hasInterpreter(file, cwd)) ? undefined : 'ENOENT';
    fault = 'EACCES';
  }
  return fault;
}

/** Checks the modes of a file and the directories above it. An access list may still allow what these forbid. */
async function mayExecute(
  path: string,
  isDirectoryWanted: boolean,
  account: Account,
  setpriv: string | undefined,
): Promise<boolean> {
  for (let at = path; ; at = resolve(at, '..')) {
    const found = await stat(at).catch(() => undefined);
    if (!found || !isAllowed(found, account)) {
      if (!found && at === path && isDirectoryWanted) return false;
      return setpriv === undefined ? found === undefined : asks(path, account, setpriv);
    }
    if (at === '/') return true;
  }
}

function isAllowed({ mode, uid, gid }: { mode: number; uid: number; gid: number }, account: Account): boolean {
  const any = constants.S_IXUSR | constants.S_IXGRP | constants.S_IXOTH;
  if (account.uid === 0) return (mode & constants.S_IFMT) === constants.S_IFDIR || (mode & any) !== 0;
  if (uid === account.uid) return (mode & constants.S_IXUSR) !== 0;
  if (gid === account.gid || account.groups.includes(gid)) return (mode & constants.S_IXGRP) !== 0;
  return (mode & constants.S_IXOTH) !== 0;
}

async function asks(path: string, { uid, gid, groups }: Account, setpriv: string): Promise<boolean> {
  const become =
    process.getuid?.() === 0
      ? [`--reuid=${uid}`, `--regid=${gid}`, groups.length > 0 ? `--groups=${groups.join(',')}` : '--clear-groups']
      : ['--no-new-privs'];
  const args = [...become, '--', '/bin/sh', '-c', 'test -x "$1"', 'sh', path];
  return promisify(execFile)(setpriv, args, { env: {}, cwd: '/' }).then(
    () => true,
    () => false,
  );
}

/** Whether the interpreter in a script's #! line exists. */
async function hasInterpreter(file: string, cwd: string): Promise<boolean> {
  const handle = await open(file).catch(() => undefined);
  if (!handle) return true;
  try {
    const line = await firstLine(handle);
    const interpreter = /^#!\s*(\S+)/.exec(line)?.[1];
    return interpreter === undefined || (await stat(resolve(cwd, interpreter)).catch(() => undefined)) !== undefined;
  } finally {
    await handle.close();
  }
}

async function firstLine(handle: FileHandle): Promise<string> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(interpreterBytes), 0, interpreterBytes, 0);
  return buffer.toString('latin1', 0, bytesRead).split('\n', 1)[0] ?? '';
}

function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

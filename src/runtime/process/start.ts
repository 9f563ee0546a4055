import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { App } from '../../model/app.js';
import type { InstanceSpec } from '../runtime.js';
import { marker } from './members.js';

interface Account {
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

export interface StartOptions {
  readonly spec: InstanceSpec;
  readonly cmdbName: string;
  readonly host: string;
  readonly port: number;
  /** Descriptor of the file that takes stdout and stderr. */
  readonly output: number;
}

/**
 * Starts the app's command in a session and group of its own, so that it outlives this process. Resolves once it runs;
 * throws an Error that names what is wrong with the command, the directory or the user.
 */
export async function start({ spec, cmdbName, host, port, output }: StartOptions): Promise<ChildProcess> {
  const { app } = spec;
  const [command, ...args] = app.command ?? [];
  if (command === undefined) throw new Error(`app ${app.name} has no command to run`);
  const account = app.user === undefined ? undefined : accountOf(app.user);
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', output, output],
    env: environment(spec, cmdbName, host, port, account),
    ...(app.cwd === undefined ? {} : { cwd: app.cwd }),
    ...(account ? { uid: account.uid, gid: account.gid } : {}),
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error: NodeJS.ErrnoException) => reject(startError(app, command, error)));
  });
  child.unref();
  return child;
}

/** Nothing of the dispatcher's own environment but what a program needs to run at all. */
function environment(
  { id, app, revision }: InstanceSpec,
  cmdbName: string,
  host: string,
  port: number,
  account: Account | undefined,
): Record<string, string> {
  const inherited = ['PATH', 'HOME', 'LANG', 'TZ'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const [name, value] = marker(id).split('=') as [string, string];
  return {
    ...Object.fromEntries(inherited),
    ...(account ? { HOME: account.home } : {}),
    ...app.env,
    HOST: host,
    PORT: String(port),
    [name]: value,
    FASTCONTAINER_APP: app.name,
    FASTCONTAINER_REVISION: revision,
    FASTCONTAINER_CMDB: cmdbName,
  };
}

/** By name from /etc/passwd, or `UID` or `UID:GID` as numbers. */
function accountOf(user: string): Account {
  if (process.getuid?.() !== 0) throw new Error(`running as user '${user}' needs the dispatcher to run as root`);
  const numeric = /^(\d+)(?::(\d+))?$/.exec(user);
  if (numeric) return { uid: Number(numeric[1]), gid: Number(numeric[2] ?? numeric[1]), home: '/' };
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === user);
  if (!entry) throw new Error(`there is no user '${user}' on this machine`);
  return { uid: Number(entry[2]), gid: Number(entry[3]), home: entry[5] || '/' };
}

function startError(app: App, command: string, error: NodeJS.ErrnoException): Error {
  const advice: Record<string, string> = {
    ENOENT:
      app.cwd === undefined
        ? 'there is no such program on PATH'
        : `there is no such program, or no directory ${app.cwd}`,
    EACCES: 'it is not executable, or the directory may not be entered',
    ENOTDIR: `${app.cwd ?? 'a part of the path'} is no directory`,
    EAGAIN: 'the machine has no room for another process',
    E2BIG: 'arguments and environment are too large',
  };
  const why = advice[error.code ?? ''] ?? error.message;
  return new Error(`cannot run '${command}' of app ${app.name}: ${why}`, { cause: error });
}

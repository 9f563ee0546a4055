import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join, relative } from 'node:path';

/** A file's text, or why it is not read; undefined if there is no such file. */
export type TextReading =
  | { readonly text: string; readonly signature: string; readonly isSettled: boolean }
  | { readonly fault: string }
  | undefined;

/** What a file must be like, or it is not read. */
export interface TextTerms {
  readonly mostBytes: number;
  /**
   * Customers may write below this directory: the file must lie there itself, be reached without a link, and belong to the owner
   * of its directory or to the operator.
   */
  readonly strangersBelow?: string;
}

/** Changes with the file's content; undefined if there is no such file, or none that may be looked at. Blocks, as everything here does. */
export function signatureAt(file: string, { strangersBelow }: TextTerms): string | undefined {
  try {
    return signatureOf((strangersBelow === undefined ? statSync : lstatSync)(file));
  } catch {
    return undefined;
  }
}

/** False also for what cannot be looked at. */
export function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}

export function readText(file: string, terms: TextTerms): TextReading {
  try {
    // Looked at before it is opened, because opening a device can have effects.
    const seen = (terms.strangersBelow === undefined ? statSync : lstatSync)(file);
    const kind = kindFault(seen, terms.mostBytes);
    return kind === undefined ? readOpened(file, terms) : { fault: kind };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return isLink(file) ? { fault: danglingLink } : undefined;
    if (code === 'ELOOP') return { fault: ofItsOwn };
    if (code === 'EACCES') return { fault: `cannot be read: permission denied for user ${userInfo().username}` };
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return { fault: 'is not UTF-8 text' };
    return { fault: `cannot be read: ${message}` };
  }
}

const danglingLink = 'is a symbolic link to a file that does not exist';
const ofItsOwn = 'is a link; a file of a customer must be a file of its own';
/** Times of a file system may be this coarse: a file that changed less than this before it was read can change again unnoticed. */
const settledAfterMs = 2_000;

function readOpened(file: string, { mostBytes, strangersBelow }: TextTerms): TextReading {
  // Non-blocking, in case a pipe has taken its place.
  const noFollow = strangersBelow === undefined ? 0 : constants.O_NOFOLLOW;
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | noFollow);
  try {
    const stats = fstatSync(descriptor);
    const fault =
      kindFault(stats, mostBytes) ??
      (strangersBelow === undefined ? undefined : strangerFault(file, descriptor, stats, strangersBelow));
    if (fault !== undefined) return { fault };
    // A file that grows meanwhile is read again when it has settled.
    const bytes = Buffer.alloc(stats.size);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(descriptor, bytes, length, bytes.length - length, null);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length));
    return { text, signature: signatureOf(stats), isSettled: Date.now() - stats.ctimeMs > settledAfterMs };
  } finally {
    closeSync(descriptor);
  }
}

function kindFault(stats: Stats, mostBytes: number): string | undefined {
  if (stats.isSymbolicLink()) return ofItsOwn;
  if (stats.isDirectory()) return 'is a directory, not a file';
  if (!stats.isFile()) return 'is not a regular file';
  return stats.size > mostBytes ? tooLarge(mostBytes) : undefined;
}

function strangerFault(file: string, descriptor: number, stats: Stats, below: string): string | undefined {
  if (stats.nlink !== 1 || pathOf(descriptor, file) !== join(realpathSync(below), relative(below, file)))
    return ofItsOwn;
  const owners = [statSync(dirname(file)).uid, 0, process.geteuid?.()];
  if (!owners.includes(stats.uid)) return 'belongs to another user than its directory';
  return (stats.mode & 0o002) === 0 ? undefined : 'may be written by everybody on this host; chmod o-w';
}

/** Of what was opened, even if the path leads elsewhere now. */
function pathOf(descriptor: number, file: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return realpathSync(file);
  }
}

function tooLarge(mostBytes: number): string {
  const most = mostBytes >= 1024 ** 2 ? `${mostBytes / 1024 ** 2} MiB` : `${mostBytes / 1024} KiB`;
  return `is larger than ${most}; is it the right file?`;
}

function signatureOf({ dev, ino, size, mtimeMs, ctimeMs, uid, mode, nlink }: Stats): string {
  return `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}:${uid}:${mode}:${nlink}`;
}

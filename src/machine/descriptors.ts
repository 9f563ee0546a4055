import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** An open descriptor, and what it leads to: a path, `pipe:[INODE]`, `socket:[INODE]` or `anon_inode:KIND`. */
export interface Descriptor {
  readonly fd: number;
  readonly link: string;
}

/** The flag in /proc/PID/fdinfo/N, where it is octal. Source: proc_pid_fdinfo(5). */
const closeOnExec = 0o2000000;
/** Far more than any program should inherit; bounded as they are passed in one argument. */
const mostTold = 1_000;

/**
 * The descriptors besides 0, 1 and 2 that a child of this process would inherit, for it to drop. Node sets close-on-exec on all that
 * it opens, but LMDB does not, and this process may have inherited some itself. Reads a file per descriptor: too slow per request.
 */
export function inheritable(): Descriptor[] {
  return openDescriptors()
    .filter(({ fd }) => !closesOnExec(fd))
    .slice(0, mostTold);
}

/**
 * Closes inherited descriptors except 0, 1, 2 and those in `keep`. Call it before anything is opened. Node has set close-on-exec on
 * the lower ones by then, up to the first gap above 15, so the parent's list `told` is needed as well.
 */
export function dropInherited(told: readonly Descriptor[], keep: readonly number[]): void {
  for (const { fd, link } of openDescriptors()) {
    const isTold = told.some((other) => other.fd === fd && other.link === link);
    // Node itself has no file open when it starts.
    if (!keep.includes(fd) && (isTold || link.startsWith('/') || !closesOnExec(fd))) close(fd);
  }
}

/** Parses a JSON list of descriptors, as from `inheritable`; empty if it is malformed. */
export function parseDescriptors(text = '[]'): Descriptor[] {
  try {
    const list = JSON.parse(text) as Descriptor[];
    return list.filter(({ fd, link }) => Number.isInteger(fd) && typeof link === 'string');
  } catch {
    return [];
  }
}

/** Open descriptors above 2; none without /proc. */
function openDescriptors(): Descriptor[] {
  const fds = (readNames('/proc/self/fd') ?? []).map(Number).filter((fd) => fd > 2);
  return fds.flatMap((fd) => {
    const link = linkOf(fd);
    return link === undefined ? [] : [{ fd, link }];
  });
}

function closesOnExec(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0';
    return (parseInt(flags, 8) & closeOnExec) !== 0;
  } catch {
    // It was the one that this list was read through.
    return true;
  }
}

function readNames(directory: string): string[] | undefined {
  try {
    return readdirSync(directory);
  } catch {
    return undefined;
  }
}

function linkOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

function close(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // It is closed already.
  }
}

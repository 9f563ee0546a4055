import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** An open descriptor, and what it leads to: a path, `pipe:[INODE]`, `socket:[INODE]` or `anon_inode:KIND`. */
export interface Descriptor {
  readonly fd: number;
  readonly link: string;
}

/** As an octal number in /proc/PID/fdinfo/N. Source: proc_pid_fdinfo(5). */
const closeOnExec = 0o2000000;
/** More than a program has good reason to inherit; they travel as one argument. */
const mostTold = 1_000;

/**
 * What a program that this process starts would inherit beside 0, 1 and 2, so that it can drop it. Node opens all with
 * close-on-exec, but LMDB does not, nor may whatever started this process. Reads a file per descriptor: for a start, not for a request.
 */
export function inheritable(): Descriptor[] {
  return openDescriptors()
    .filter(({ fd }) => !closesOnExec(fd))
    .slice(0, mostTold);
}

/**
 * Closes what this process inherited and did not open itself, but 0, 1, 2 and those in `keep`. To be called before anything
 * else is opened. Node has set close-on-exec on the lower ones by then, up to the first hole above 15, so what the
 * parent tells of is needed too.
 */
export function dropInherited(told: readonly Descriptor[], keep: readonly number[]): void {
  for (const { fd, link } of openDescriptors()) {
    const isTold = told.some((other) => other.fd === fd && other.link === link);
    // Node itself holds no file open at its start.
    if (!keep.includes(fd) && (isTold || link.startsWith('/') || !closesOnExec(fd))) close(fd);
  }
}

/** What `inheritable` gave, out of an argument or an environment; nothing where it is malformed. */
export function parseDescriptors(text = '[]'): Descriptor[] {
  try {
    const list = JSON.parse(text) as Descriptor[];
    return list.filter(({ fd, link }) => Number.isInteger(fd) && typeof link === 'string');
  } catch {
    return [];
  }
}

/** Those beyond 2; none where there is no /proc. */
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
    // It was the one through which this list was read.
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
    // Whatever it was, it is no descriptor of ours any longer.
  }
}

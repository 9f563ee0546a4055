import { readFileSync, readlinkSync } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';

/** State of a listening socket in /proc/net/tcp. */
const listening = '0A';
const filesAtOnce = 16;
/** Of what the kernel answers at once: read in place it costs a tenth of what it takes through the thread pool. */
const readsInATurn = 32;
/** Bytes: a few lines of a table of sockets, and a page, of which the kernel gives no more. */
const firstPiece = 512;
const largestPiece = 4_096;

/** What /proc/PID/stat says. Times are clock ticks since the machine booted. */
export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly startTime: string;
}

/** A process beyond its pid, which is used again: with start time and the boot id of the machine it is unique. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
  readonly bootId: string;
}

/** The identity of a running process; fields are '' where the system does not tell (no /proc). */
export function identify(pid: number): ProcessIdentity {
  return { pid, startTime: statOf(pid)?.startTime ?? '', bootId: bootId() };
}

/** Whether exactly this process runs. A zombie does not. */
export function isRunning(identity: ProcessIdentity): boolean {
  return (
    identity.startTime !== '' && identity.bootId === bootId() && statOf(identity.pid)?.startTime === identity.startTime
  );
}

/** Random id of the machine's present boot; '' where the system does not tell. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

/** In which this process's pids count, such as `pid:[4026531836]`; '' where the system does not tell. */
export function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

/** Undefined for a zombie, or where there is no such process. */
export function statOf(pid: number): ProcessStat | undefined {
  try {
    return parseStat(pid, readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** All running processes, without zombies. Reads a file per process; for rare use. */
export async function allProcesses(): Promise<ProcessStat[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const stats = await inTurns(pids, statOf);
  return stats.filter((stat) => stat !== undefined);
}

/** Reads something of each process, few at a time: a file for each at once would use up the file descriptors. */
export async function forEachProcess<T>(pids: readonly number[], read: (pid: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let at = 0; at < pids.length; at += filesAtOnce) {
    results.push(...(await Promise.all(pids.slice(at, at + filesAtOnce).map(read))));
  }
  return results;
}

/** Whether a process was started with `NAME=value` in its environment; false where that cannot be read. */
export async function hasInEnvironment(pid: number, entry: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  return environment.split('\0').includes(entry);
}

/** Inodes of the sockets that a process holds open; undefined where that cannot be read. */
export async function socketInodes(pid: number): Promise<Set<string> | undefined> {
  try {
    const descriptors = await readdir(`/proc/${pid}/fd`);
    const inodes = await inTurns(descriptors, (fd) => socketInode(`/proc/${pid}/fd/${fd}`));
    return new Set(inodes.filter((inode) => inode !== undefined));
  } catch {
    return undefined;
  }
}

/**
 * Inodes of the TCP sockets that listen on a port, as they are found: to learn that there are no more takes the kernel
 * milliseconds, and whoever has found enough stops before. Throws an Error where that cannot be read.
 */
export async function* listeningInodes(port: number): AsyncGenerator<string> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const name of ['tcp', 'tcp6']) {
    for await (const line of listeningLines(`/proc/net/${name}`)) {
      if (!line.includes(suffix)) continue;
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(suffix) && fields[9]) yield fields[9];
    }
  }
}

/** Children of a process, by the kernel's own lists; none where it keeps no such lists (CONFIG_PROC_CHILDREN). */
export async function childrenOf(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await inTurns(tasks, (task) => readNow(`/proc/${pid}/task/${task}/children`));
  return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}

/**
 * The beginning of a table of sockets: those that listen come first, and the connections after them may be many. It is read in
 * pieces that grow, for the kernel looks on for what fills a piece; no table is that of a machine without this protocol.
 */
async function* listeningLines(path: string): AsyncGenerator<string> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' && path.endsWith('6')) return undefined;
    throw error;
  });
  if (!file) return;
  try {
    let rest = '';
    let isHeader = true;
    for (let size = firstPiece; ; size = Math.min(2 * size, largestPiece)) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(size), 0, size, null);
      if (bytesRead === 0) return;
      const lines = (rest + buffer.toString('latin1', 0, bytesRead)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (!isHeader && line.trim().split(/\s+/, 4)[3] !== listening) return;
        if (!isHeader) yield line;
        isHeader = false;
      }
    }
  } finally {
    await file.close();
  }
}

function socketInode(link: string): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1];
  } catch {
    return undefined;
  }
}

function readNow(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Requests go on while much is read. */
async function inTurns<T, R>(items: readonly T[], read: (item: T) => R): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) {
    results.push(read(item));
    if (results.length % readsInATurn === 0) await turn();
  }
  return results;
}

/** The command name may contain anything, so fields count from its closing parenthesis: state is field 3. */
function parseStat(pid: number, text: string): ProcessStat | undefined {
  const [state, parent, group, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const startTime = rest[16];
  if (state === 'Z' || state === 'X' || startTime === undefined) return undefined;
  return { pid, parent: Number(parent), group: Number(group), startTime };
}

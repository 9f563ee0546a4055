import { readFileSync, readlinkSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { batches, inTurns } from './batches.js';
import { textOf } from './text-of.js';

const filesAtOnce = 16;
/** Of what the kernel answers at once: read in place it costs a tenth of what it takes through the thread pool. */
const readsInATurn = 32;
/** Bytes of an environment that are read at once, and at most. */
const environPiece = 64 * 1024;
const mostEnviron = 1024 * 1024;
/** For two seconds in all, as long as a busy machine may hold up a program that starts. */
const mostLooks = 64;

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

/** Whether exactly this process runs. A zombie does not; one of which the system does not tell at the moment does. */
export function isRunning({ pid, startTime, bootId: boot }: ProcessIdentity): boolean {
  return startTime !== '' && boot === bootId() && stillRuns(pid, startTime);
}

/** Whether the pid is still that of the process with this start time; true if the system does not tell at the moment. */
export function stillRuns(pid: number, startTime: string): boolean {
  try {
    return statOf(pid)?.startTime === startTime;
  } catch {
    return true;
  }
}

/** Whether any process has this pid, or may have. A zombie has not. */
export function mayRun(pid: number): boolean {
  try {
    return statOf(pid) !== undefined;
  } catch {
    return true;
  }
}

/** Random id of the machine's present boot; '' where the system does not tell. */
export function bootId(): string {
  return thisBoot;
}

/** In which this process's pids count, such as `pid:[4026531836]`; '' where the system does not tell. */
export function pidNamespace(): string {
  return thisPidNamespace;
}

/** Read at the start: they never change while this process lives, and are needed also when it has no descriptor left. */
const thisBoot = textOf('/proc/sys/kernel/random/boot_id').trim();
const thisPidNamespace = linkNow('/proc/self/ns/pid');

/** Failures that say nothing of the process: no descriptor or no memory is left to look with. */
const noAnswer = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EINTR']);

/** Undefined for a zombie, or if there is no such process. Throws if the system does not tell at the moment. */
export function statOf(pid: number): ProcessStat | undefined {
  try {
    return parseStat(pid, readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (noAnswer.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return undefined;
  }
}

/** All running processes, without zombies. Reads a file per process; for rare use. */
export async function allProcesses(): Promise<ProcessStat[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const stats = await readInTurns(pids, statOf);
  return stats.filter((stat) => stat !== undefined);
}

/** Reads something of each process, few at a time: a file for each at once would use up the file descriptors. */
export async function forEachProcess<T>(pids: readonly number[], read: (pid: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (const some of batches(pids, filesAtOnce)) results.push(...(await Promise.all(some.map(read))));
  return results;
}

/** Whether a process was started with `NAME=value` in its environment; false if that cannot be read, or is very large. */
export async function hasInEnvironment(pid: number, entry: string): Promise<boolean> {
  for (let looks = 1; ; looks += 1) {
    const environment = await readEnvironment(pid);
    if (environment !== '') return environment.split('\0').includes(entry);
    if (looks === mostLooks || !isBecoming(pid)) return false;
    await setTimeout(looks);
  }
}

async function readEnvironment(pid: number): Promise<string> {
  const file = await open(`/proc/${pid}/environ`).catch((error: NodeJS.ErrnoException) => {
    if (noAnswer.has(error.code ?? '')) throw error;
    return undefined;
  });
  if (!file) return '';
  try {
    // The kernel gives a page at a time, and an environment may be megabytes of a hostile program's own.
    let text = '';
    for (const buffer = Buffer.allocUnsafe(environPiece); text.length < mostEnviron;) {
      const { bytesRead } = await file.read(buffer, 0, environPiece, null);
      if (bytesRead === 0) break;
      text += buffer.toString('latin1', 0, bytesRead);
    }
    return text;
  } catch {
    return '';
  } finally {
    await file.close();
  }
}

/** Whether it is about to become another program: for that moment it has neither arguments nor environment; one of the kernel never has a program. */
function isBecoming(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) !== '' && readFileSync(`/proc/${pid}/cmdline`, 'latin1') === '';
  } catch {
    return false;
  }
}

/** Descriptors of the sockets that a process holds open, by inode; undefined if that cannot be read. */
export async function socketDescriptors(pid: number): Promise<Map<string, string> | undefined> {
  try {
    const descriptors = await readdir(`/proc/${pid}/fd`);
    const inodes = await readInTurns(descriptors, (fd) => socketInode(`/proc/${pid}/fd/${fd}`));
    return new Map(inodes.flatMap((inode, index) => (inode === undefined ? [] : [[inode, descriptors[index] ?? '']])));
  } catch {
    return undefined;
  }
}

/** Real, effective, saved and file system user of a process; none if there is no such process. */
export function usersOf(pid: number): number[] {
  const line = /^Uid:\s*(.*)$/m.exec(textOf(`/proc/${pid}/status`))?.[1];
  return line === undefined ? [] : line.split(/\s+/).map(Number);
}

/** Children of a process, by the kernel's own lists; none where it keeps no such lists (CONFIG_PROC_CHILDREN). */
export async function childrenOf(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await readInTurns(tasks, (task) => textOf(`/proc/${pid}/task/${task}/children`));
  return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}

function socketInode(link: string): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1];
  } catch {
    return undefined;
  }
}

function linkNow(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

async function readInTurns<T, R>(items: readonly T[], read: (item: T) => R): Promise<R[]> {
  const results: R[] = [];
  for await (const some of inTurns(items, readsInATurn)) results.push(...some.map((item) => read(item)));
  return results;
}

/** The command name may contain anything, so fields count from its closing parenthesis: state is field 3. */
function parseStat(pid: number, text: string): ProcessStat | undefined {
  const [state, parent, group, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const startTime = rest[16];
  if (state === 'Z' || state === 'X' || startTime === undefined) return undefined;
  return { pid, parent: Number(parent), group: Number(group), startTime };
}

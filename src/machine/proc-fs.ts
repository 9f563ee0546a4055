import { readFileSync, readlinkSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { uptime } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { batches, inTurns } from './batches.js';
import { textOf } from './text-of.js';

const filesAtOnce = 16;
/** Synchronous reads per turn of the event loop: for /proc they cost a tenth of reads through the thread pool. */
const readsInATurn = 32;
/** Bytes of an environment that are read at once, and in all. */
const environPiece = 64 * 1024;
const mostEnviron = 1024 * 1024;
/** Looks for two seconds in all, as long as a busy machine may hold up a program that starts. */
const mostLooks = 64;

/** From /proc/PID/stat; times are clock ticks since the machine booted. */
export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly startTime: string;
}

/** Identifies a process for ever: pids are reused, but not with the same start time and boot id of the machine. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
  readonly bootId: string;
}

/** The identity of a running process; fields are '' if the system does not tell (no /proc). */
export function identify(pid: number): ProcessIdentity {
  return { pid, startTime: statOf(pid)?.startTime ?? '', bootId: bootId() };
}

/** Whether exactly this process runs; false for a zombie, true if the system cannot tell at the moment. */
export function isRunning({ pid, startTime, bootId: boot }: ProcessIdentity): boolean {
  return startTime !== '' && boot === bootId() && stillRuns(pid, startTime);
}

/** When a process of this boot of the machine was started, in epoch milliseconds; undefined if the system does not tell. */
export function startedAtOf({ startTime, bootId: boot }: ProcessIdentity): number | undefined {
  if (startTime === '' || boot !== bootId()) return undefined;
  return Math.round(bootedAt() + (Number(startTime) * 1_000) / ticksPerSecond);
}

/** When the machine was started, in epoch milliseconds. */
export function bootedAt(): number {
  return Date.now() - uptime() * 1_000;
}

/** USER_HZ, which is the same on every architecture that Node runs on. */
const ticksPerSecond = 100;

/** Whether the pid still belongs to the process with this start time; true if the system cannot tell at the moment. */
export function stillRuns(pid: number, startTime: string): boolean {
  try {
    return statOf(pid)?.startTime === startTime;
  } catch {
    return true;
  }
}

/** Whether a process with this pid runs; false for a zombie, true if the system cannot tell at the moment. */
export function mayRun(pid: number): boolean {
  try {
    return statOf(pid) !== undefined;
  } catch {
    return true;
  }
}

/** Random id of the machine's current boot; '' if the system does not tell. */
export function bootId(): string {
  return thisBoot;
}

/** This process's pid namespace, such as `pid:[4026531836]`; '' if the system does not tell. */
export function pidNamespace(): string {
  return thisPidNamespace;
}

/** Read at the start: these never change, and are needed even when no descriptor is left. */
const thisBoot = textOf('/proc/sys/kernel/random/boot_id').trim();
const thisPidNamespace = linkNow('/proc/self/ns/pid');

/** Errors that say nothing about the process: no descriptor or memory is left, or a signal came. */
const noAnswer = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EINTR']);

/** Undefined for a zombie, or if there is no such process. Throws if the system cannot tell at the moment. */
export function statOf(pid: number): ProcessStat | undefined {
  try {
    return parseStat(pid, readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (noAnswer.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return undefined;
  }
}

/** All running processes except zombies. Reads a file per process: for rare use. */
export async function allProcesses(): Promise<ProcessStat[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const stats = await readInTurns(pids, statOf);
  return stats.filter((stat) => stat !== undefined);
}

/** Reads something of each process, a few at a time, as one open file for each would use up the descriptors. */
export async function forEachProcess<T>(pids: readonly number[], read: (pid: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (const some of batches(pids, filesAtOnce)) results.push(...(await Promise.all(some.map(read))));
  return results;
}

/** Whether a process was started with `NAME=value` in its environment; false if it cannot be read, or is very large. */
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
    // The kernel gives a page at a time, and a hostile program may have megabytes.
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

/** Whether it is in an exec, when it has neither arguments nor environment. A kernel thread has no program at all. */
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

/** Children of a process by the kernel's own lists; none if it keeps no such lists (CONFIG_PROC_CHILDREN). */
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

/** The command name may contain anything, so the fields are counted from its closing parenthesis: state is field 3. */
function parseStat(pid: number, text: string): ProcessStat | undefined {
  const [state, parent, group, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const startTime = rest[16];
  if (state === 'Z' || state === 'X' || startTime === undefined) return undefined;
  return { pid, parent: Number(parent), group: Number(group), startTime };
}

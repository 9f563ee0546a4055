import { readFileSync, readlinkSync } from 'node:fs';
import { open, readdir, readFile, readlink } from 'node:fs/promises';

/** State of a listening socket in /proc/net/tcp. */
const listening = '0A';
const filesAtOnce = 16;

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
  const stats: ProcessStat[] = [];
  for (let at = 0; at < pids.length; at += filesAtOnce) {
    // The kernel answers this file at once: read in place it costs a tenth of what it takes through the thread pool.
    for (const pid of pids.slice(at, at + filesAtOnce)) {
      const stat = statOf(pid);
      if (stat) stats.push(stat);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return stats;
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
    const links = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
    return new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
  } catch {
    return undefined;
  }
}

/** Inodes of the TCP sockets that listen on a port; undefined where that cannot be read. */
export async function listeningInodes(port: number): Promise<string[] | undefined> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readListening(`/proc/net/${name}`).catch(() => '')));
  if (tables.every((table) => table === '')) return undefined;
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return tables.flatMap((table) =>
    table.split('\n').flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      return fields[1]?.endsWith(suffix) && fields[3] === listening && fields[9] ? [fields[9]] : [];
    }),
  );
}

/** The beginning of a table of sockets: those that listen come first, and the connections after them may be many. */
async function readListening(path: string): Promise<string> {
  const file = await open(path);
  try {
    let table = '';
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(16_384), 0, 16_384, null);
      table += buffer.toString('latin1', 0, bytesRead);
      const states = table.split('\n').map((line) => line.trim().split(/\s+/)[3]);
      // The first line is the header; the last one may not have ended.
      if (bytesRead === 0 || states.slice(1, -1).some((state) => state !== listening)) return table;
    }
  } finally {
    await file.close();
  }
}

/** The command name may contain anything, so fields count from its closing parenthesis: state is field 3. */
function parseStat(pid: number, text: string): ProcessStat | undefined {
  const [state, parent, group, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const startTime = rest[16];
  if (state === 'Z' || state === 'X' || startTime === undefined) return undefined;
  return { pid, parent: Number(parent), group: Number(group), startTime };
}

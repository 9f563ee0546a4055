import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { allProcesses, socketDescriptors } from '../src/machine/proc-fs.js';

const ticksPerSecond = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout || 100);

/** User and system time of these processes so far, in seconds. Source: proc(5), fields 14 and 15 of /proc/PID/stat. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  }, 0);
}

/**
 * A program with its workers; the containers that a dispatcher started have groups of their own, and are not it. The small
 * process that starts containers for a dispatcher has one, too, and is a part of what it costs.
 */
export async function workersOf(pid: number): Promise<number[]> {
  const all = await allProcesses();
  const group = all.find((program) => program.pid === pid)?.group;
  const found = [pid];
  for (const parent of found) {
    const children = all.filter((child) => child.parent === parent);
    found.push(...children.filter((child) => child.group === group || isKeeper(child.pid)).map((child) => child.pid));
  }
  return found;
}

function isKeeper(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      .split('\0')
      .some((word) => word.endsWith('/keeper-main.js'));
  } catch {
    // It has ended since the processes were listed.
    return false;
  }
}

/** Memory of a process that is in RAM, in bytes: all of it, and what of it no file holds. Source: proc(5), status. */
export function memoryOf(pid: number): { readonly resident: number; readonly anonymous: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { resident: bytes('VmRSS'), anonymous: bytes('RssAnon') };
}

/** How many TCP connections and listeners a process holds open; what it talks to its own helpers over is not of them. */
export async function tcpSocketsOf(pid: number): Promise<number> {
  const open = (await socketDescriptors(pid)) ?? new Map();
  return ['tcp', 'tcp6'].flatMap((table) => inodesIn(`/proc/${pid}/net/${table}`)).filter((inode) => open.has(inode))
    .length;
}

/** Source: proc(5), field 10 of each line after the first. */
function inodesIn(table: string): string[] {
  const lines = existsSync(table) ? readFileSync(table, 'utf8').trim().split('\n').slice(1) : [];
  return lines.map((line) => line.trim().split(/\s+/)[9] ?? '');
}

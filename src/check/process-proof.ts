import { readFileSync } from 'node:fs';
import type { Session } from '../cmdb/cmdb.js';

/** What identifies this process beyond its pid; fields are '' where the system does not tell (no /proc). */
export function identifyProcess(pid: number): Session['process'] {
  return { pid, startTime: startTimeOf(pid) ?? '', bootId: bootId() };
}

/** Whether a session's process on this machine is proved dead: the machine was restarted, or the pid is free or another's. */
export function isProvedDead({ host, process }: Session, thisHost: string): boolean {
  if (host !== thisHost || process.bootId === '' || process.startTime === '') return false;
  const here = bootId();
  if (here === '') return false;
  return process.bootId !== here || startTimeOf(process.pid) !== process.startTime;
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

/** Field 22 of /proc/PID/stat, in clock ticks since the machine booted; undefined for a zombie or no such process. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name may contain anything, so fields count from its closing parenthesis: state is field 3.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

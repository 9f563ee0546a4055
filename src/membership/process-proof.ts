import type { Session } from '../cmdb/cmdb.js';
import { bootId, pidNamespace, stillRuns } from '../machine/proc-fs.js';

/**
 * Whether a session's process on this machine is proved dead: the machine was restarted, or the pid is free or another's.
 * Nothing is proved of a process in another container, whose pids are not those seen here.
 */
export function isProvedDead({ host, process }: Session, thisHost: string): boolean {
  const here = bootId();
  if (host !== thisHost || here === '' || process.bootId === '' || process.startTime === '') return false;
  if (process.bootId !== here) return true;
  return process.pidNamespace === pidNamespace() && !stillRuns(process.pid, process.startTime);
}

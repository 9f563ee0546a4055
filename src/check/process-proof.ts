import type { Session } from '../cmdb/cmdb.js';
import { bootId, statOf } from '../proc-fs.js';

/** Whether a session's process on this machine is proved dead: the machine was restarted, or the pid is free or another's. */
export function isProvedDead({ host, process }: Session, thisHost: string): boolean {
  const here = bootId();
  if (host !== thisHost || here === '' || process.bootId === '' || process.startTime === '') return false;
  return process.bootId !== here || statOf(process.pid)?.startTime !== process.startTime;
}

import { allProcesses, hasInEnvironment } from '../src/machine/proc-fs.js';
import { cmdbName } from './daemon.js';

/** Kills the apps that a dispatcher of this bench has left, because it was killed itself. Resolves to how many. */
export async function killLeftovers(): Promise<number> {
  let killed = 0;
  for (const { pid } of await allProcesses()) {
    if (!(await hasInEnvironment(pid, `FASTCONTAINER_CMDB=${cmdbName}`))) continue;
    try {
      process.kill(pid, 'SIGKILL');
      killed += 1;
    } catch {
      // It has ended by itself since.
    }
  }
  return killed;
}

import { readFileSync } from 'node:fs';
import { allProcesses, forEachProcess, hasInEnvironment } from '../../../src/machine/proc-fs.js';
import { eventually } from '../../fixtures/eventually.js';

/** The keepers that run on a state directory. */
export async function keepersOn(stateDir: string): Promise<number[]> {
  const pids = (await allProcesses()).map(({ pid }) => pid);
  return pids.filter((pid) => isKeeper(pid, stateDir)).toSorted((a, b) => a - b);
}

/** The only one; resolves when it is there. */
export async function keeperOn(stateDir: string): Promise<number> {
  const keepers = await eventually(async () => {
    const found = await keepersOn(stateDir);
    return found.length === 1 && found;
  });
  return (keepers as number[])[0] as number;
}

function isKeeper(pid: number, stateDir: string): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    return command.includes('/keeper-main.js') && command.includes(`"${stateDir}/keepers"`);
  } catch {
    return false;
  }
}

/** Processes that carry an instance's marker. */
export async function marked(id: string): Promise<number[]> {
  const pids = (await allProcesses()).map(({ pid }) => pid);
  const carries = await forEachProcess(pids, (pid) => hasInEnvironment(pid, `FASTCONTAINER_INSTANCE=${id}`));
  return pids.filter((_, index) => carries[index]);
}

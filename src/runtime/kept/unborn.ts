import { signalTo } from '../../machine/signal-to.js';
import { allProcesses, forEachProcess, hasInEnvironment } from '../../machine/proc-fs.js';
import { type Clock, sleep } from '../../model/clock.js';

const pauseMs = 5;
/** A process in an uninterruptible call, such as to a file server that is down, dies only when that returns. */
const limitMs = 30_000;

/**
 * Kills the forks of a dead keeper that have not become the app yet: until then they have the keeper's environment, with this entry,
 * and from then on the marker of their instance. Throws an Error that names what does not die.
 */
export async function killUnborn(entry: string, clock: Clock): Promise<void> {
  const limit = clock.monotonic() + limitMs;
  for (;;) {
    const pids = (await allProcesses()).map(({ pid }) => pid);
    const unborn = await forEachProcess(pids, (pid) => hasInEnvironment(pid, entry));
    const left = pids.filter((_, index) => unborn[index]);
    if (left.length === 0) return;
    for (const pid of left) signalTo(pid, 'SIGKILL');
    if (clock.monotonic() > limit) {
      throw new Error(
        `forks of a keeper that has ended do not die after SIGKILL (processes ${left.join(', ')}); see what blocks them`,
      );
    }
    await sleep(clock, pauseMs);
  }
}

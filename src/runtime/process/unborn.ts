import { allProcesses, forEachProcess, hasInEnvironment } from '../../machine/proc-fs.js';
import { type Clock, sleep } from '../../model/clock.js';

const pauseMs = 5;
/** A process in an uninterruptible call dies when that returns, such as one of a file server that is away. */
const limitMs = 30_000;

/**
 * Kills what a dead launcher had forked and what has not become the app yet: until it does, its environment is that of the
 * launcher, with this entry of it. Afterwards whatever the launcher started carries the marker of its instance. Throws an Error that
 * names what does not die.
 */
export async function killUnborn(entry: string, clock: Clock): Promise<void> {
  const limit = clock.monotonic() + limitMs;
  for (;;) {
    const pids = (await allProcesses()).map(({ pid }) => pid);
    const unborn = await forEachProcess(pids, (pid) => hasInEnvironment(pid, entry));
    const left = pids.filter((_, index) => unborn[index]);
    if (left.length === 0) return;
    for (const pid of left) kill(pid);
    if (clock.monotonic() > limit) {
      throw new Error(
        `what was being started does not die after SIGKILL (processes ${left.join(', ')}); see what blocks them`,
      );
    }
    await sleep(clock, pauseMs);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

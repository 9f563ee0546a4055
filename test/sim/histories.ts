import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';

/** A busy machine may take its time: nothing here waits for a clock but the virtual one. */
const limitMs = 3_600_000;
/** Random histories per test file; there are eight files. */
const defaultHistories = 1_250;

/**
 * One share of the random histories as a test. SIM_HISTORIES runs so many over all shares, SIM_FIRST begins at another
 * seed, SIM_SEED runs one history only (in the first share).
 */
export function testHistories(share: number, shares: number): void {
  const { SIM_HISTORIES, SIM_FIRST, SIM_SEED } = process.env;
  const count = SIM_HISTORIES ? Math.ceil(Number(SIM_HISTORIES) / shares) : defaultHistories;
  const first = Number(SIM_FIRST ?? 1) + share * count;
  const [from, number] = SIM_SEED ? [Number(SIM_SEED), share === 0 ? 1 : 0] : [first, count];
  t.setTimeout(limitMs);
  t.test(`the guarantees hold in ${number} random histories from seed ${from} on`, { timeout: limitMs }, async (t) => {
    const thread = new Worker(new URL('./explore-thread.js', import.meta.url), { workerData: { from, number } });
    const [finding] = (await once(thread, 'message')) as [string | undefined];
    if (finding === undefined) t.pass('every guarantee held');
    else t.fail(finding);
  });
}

import { setTimeout as sleep } from 'node:timers/promises';

/** A write of which nobody knows what became of it is looked for during this time, in milliseconds. */
const limitMs = 10_000;

/**
 * Decides after a failure whether to look again: once something may have been written, until the time is up. Resolves
 * after a short pause, or throws the error.
 */
export class UnknownOutcome {
  #since: number | undefined;

  async lookAgain(error: unknown, mayHaveWritten: boolean): Promise<void> {
    if (!mayHaveWritten) throw error;
    this.#since ??= performance.now();
    if (performance.now() - this.#since > limitMs) throw error;
    await sleep(50);
  }
}

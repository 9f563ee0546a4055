import type { Clock } from '../model/clock.js';

/** Runs `run`, and reports its result and how long it took, in milliseconds. */
export async function measure<T>(
  clock: Clock,
  run: () => Promise<T>,
  report: (result: 'ok' | 'error', durationMs: number) => void,
): Promise<T> {
  const from = clock.monotonic();
  try {
    const value = await run();
    report('ok', clock.monotonic() - from);
    return value;
  } catch (error) {
    report('error', clock.monotonic() - from);
    throw error;
  }
}

import { setTimeout as sleep } from 'node:timers/promises';

/** Looks again and again until it holds or the time is up; resolves to the last look either way. */
export async function settle<T>(look: () => Promise<T>, holds: (seen: T) => boolean, limitMs: number): Promise<T> {
  const limit = performance.now() + limitMs;
  for (;;) {
    const seen = await look();
    if (holds(seen) || performance.now() > limit) return seen;
    await sleep(100);
  }
}

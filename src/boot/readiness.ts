import { type Clock, sleep } from '../model/clock.js';
import { attemptLimitMs, type IsListening, type Probe, type ProbeTarget } from '../machine/probe.js';

export interface ReadinessOptions extends ProbeTarget {
  readonly probe: Probe;
  /** Asked once something listens. */
  readonly isListening: IsListening;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const shortestPauseMs = 1;
const longestPauseMs = 50;
/** Pause as a share of the time passed: a fast app is found ready soon, and a slow one costs few attempts. */
const pausePart = 0.06;

/**
 * Resolves when the instance can serve. Checks again with millisecond back-off, one attempt at a time; an attempt that runs out of
 * time gives the next one twice as long. Rejects with the signal's reason.
 */
export async function awaitReady(options: ReadinessOptions): Promise<void> {
  const { signal, clock } = options;
  const from = clock.monotonic();
  let limitMs = attemptLimitMs;
  for (;;) {
    signal.throwIfAborted();
    const begun = clock.monotonic();
    if (await isReady({ ...options, limitMs })) return;
    if (clock.monotonic() - begun >= limitMs) limitMs *= 2;
    const passedMs = clock.monotonic() - from;
    await sleep(clock, Math.min(longestPauseMs, Math.max(shortestPauseMs, passedMs * pausePart)), signal);
  }
}

/** Looks up once per attempt whose socket it is, by the probe or after it. */
async function isReady({ probe, isListening, ...target }: ReadinessOptions): Promise<boolean> {
  let looking: Promise<boolean | undefined> | undefined;
  const look = () => (looking ??= isListening());
  return (await probe(target, target.signal, look)) && (await look()) !== false;
}

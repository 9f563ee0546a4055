import type { Clock } from '../model/clock.js';
import type { Address } from '../model/instance.js';
import type { Probe } from './probe.js';

/** How long one attempt may take, in milliseconds. */
const limitMs = 1_000;

/** Whether anything takes a connection at the address: one attempt, at most a second. Never throws. */
export async function takesConnection(address: Address, probe: Probe, clock: Clock): Promise<boolean> {
  const stop = new AbortController();
  const timer = clock.after(limitMs, () => stop.abort());
  try {
    return await probe({ address, readiness: { tcp: true }, domain: '' }, stop.signal, async () => undefined);
  } catch {
    return false;
  } finally {
    timer.cancel();
  }
}

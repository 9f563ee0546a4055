import { parseDuration } from '../model/duration.js';
import type { Seat } from '../uses/seat.js';

/** An app sends it to say that it goes on working after its answer. */
const header = 'x-fastcontainer-busy';
const longestValue = 32;

/** Keeps a seat's instance awake for as long as the raw header lines of its answer ask for, up to the app's `maxBusy`. */
export function noteBusy(seat: Seat, raw: readonly (Buffer | string)[]): void {
  const { maxBusyMs } = seat.app;
  if (maxBusyMs === 0) return;
  const ms = Math.min(busyMs(raw), maxBusyMs);
  if (ms > 0) seat.busyFor(ms);
}

/** The longest time that is asked for, in milliseconds; 0 if there is none that can be read. */
function busyMs(raw: readonly (Buffer | string)[]): number {
  let most = 0;
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] as Buffer | string;
    // The length alone rules out most names.
    if (name.length !== header.length || name.toString('latin1').toLowerCase() !== header) continue;
    const value = raw[index + 1] as Buffer | string;
    if (value.length <= longestValue) most = Math.max(most, parseDuration(value.toString('latin1').trim()) ?? 0);
  }
  return most;
}

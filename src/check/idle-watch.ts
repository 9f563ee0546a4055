import type { Clock } from '../model/clock.js';
import type { Use } from './use.js';

/** A use that sent nothing for this long, or for half the idle TTL where that is shorter, is released. */
const releaseAfterMs = 60_000;

/** How long nothing may be sent before `watchIdle` tells, in milliseconds. */
export function idleLimitMs(use: Use): number {
  return Math.min(releaseAfterMs, use.local.app.idleTtlMs / 2);
}

/**
 * Calls `onQuiet` when nothing was sent through a use for its limit, again and again while it stands. One timer per use, armed
 * again only when it fires or the idle TTL changed: activity itself costs nothing.
 */
export function watchIdle(use: Use, clock: Clock, onQuiet: (use: Use) => void): void {
  const limitMs = idleLimitMs(use);
  const isBusy = !use.onlyTraffic;
  const leftMs = isBusy ? limitMs : limitMs - (clock.now() - use.lastActiveAt);
  use.watch(
    limitMs,
    clock.after(Math.min(limitMs, Math.max(10, leftMs)), () => {
      if (!use.isCurrent) return;
      if (!use.closed && use.onlyTraffic && clock.now() - use.lastActiveAt >= limitMs) onQuiet(use);
      if (use.isCurrent) watchIdle(use, clock, onQuiet);
    }),
  );
}

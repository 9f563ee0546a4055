import type { Clock } from '../model/clock.js';
import type { Use } from './use.js';

/** A use that sent nothing for this long is released; sooner if that is half the idle TTL, or the app is to be paused. */
const releaseAfterMs = 60_000;

/** How long nothing may be sent before `watchIdle` calls `onQuiet`, in milliseconds. */
export function idleLimitMs(use: Use): number {
  const { idleTtlMs, pauseAfterMs } = use.local.app;
  return Math.min(releaseAfterMs, idleTtlMs / 2, pauseAfterMs === 0 ? Infinity : pauseAfterMs);
}

/**
 * Calls `onQuiet` when nothing that counts was sent through a use for its limit, again and again while it stands. One timer per use, armed
 * again only when it fires or the idle TTL changed: activity itself costs nothing.
 */
export function watchIdle(use: Use, clock: Clock, onQuiet: (use: Use) => void): void {
  const limitMs = idleLimitMs(use);
  const isBusy = !use.onlyUncounted;
  const leftMs = isBusy ? limitMs : limitMs - (clock.now() - use.lastActiveAt);
  arm(use, clock, onQuiet, Math.min(limitMs, Math.max(10, leftMs)));
}

function arm(use: Use, clock: Clock, onQuiet: (use: Use) => void, delayMs: number): void {
  const limitMs = idleLimitMs(use);
  const timer = clock.after(delayMs, () => {
    if (!use.isCurrent) return;
    const isQuiet = !use.closed && use.onlyUncounted && clock.now() - use.lastActiveAt >= limitMs;
    if (isQuiet) onQuiet(use);
    if (!use.isCurrent) return;
    // If it stays, behind silent connections, it is due again a whole limit later.
    if (isQuiet) arm(use, clock, onQuiet, limitMs);
    else watchIdle(use, clock, onQuiet);
  });
  use.watch(limitMs, timer);
}

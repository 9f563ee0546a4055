import type { JSX } from 'preact';
import type { LedgerEvent } from './api.js';
import { useNow } from './live.js';

const hourMs = 3_600_000;
const bars = 12;
const [width, height] = [96, 24];

const troubles = new Set(['failed', 'exited', 'lost']);

/** Boots and troubles of the last hour in twelve bars, troubles in another colour on top; and in words. */
export function Chart({ events }: { readonly events: readonly LedgerEvent[] }): JSX.Element | null {
  const now = useNow();
  const counts = Array.from({ length: bars }, () => ({ boots: 0, troubles: 0 }));
  for (const { at, kind } of events) {
    const bar = counts[bars - 1 - Math.floor(((now - Date.parse(at)) / hourMs) * bars)] ?? lateOf(counts, now, at);
    if (!bar) continue;
    if (kind === 'booting') bar.boots += 1;
    else if (troubles.has(kind)) bar.troubles += 1;
  }
  const sum = (of: 'boots' | 'troubles') => counts.reduce((total, bar) => total + bar[of], 0);
  const [boots, failed] = [sum('boots'), sum('troubles')];
  if (boots + failed === 0) return null;
  const step = height / Math.max(...counts.map((bar) => bar.boots + bar.troubles));
  const each = width / bars;
  const text = `${boots} ${boots === 1 ? 'boot' : 'boots'}${failed === 0 ? '' : `, ${failed} failed or crashed`}`;
  return (
    <figure>
      <svg viewBox={`0 0 ${width} ${height}`} width={width} height={height} aria-hidden="true">
        {counts.map((bar, index) => (
          <g key={index} transform={`translate(${index * each} 0)`}>
            <rect class="boots" width={each - 1} y={height - bar.boots * step} height={bar.boots * step} />
            <rect
              class="troubles"
              width={each - 1}
              y={height - (bar.boots + bar.troubles) * step}
              height={bar.troubles * step}
            />
          </g>
        ))}
      </svg>
      <figcaption>{text}</figcaption>
    </figure>
  );
}

/** The daemon's clock is known to the second only: an event may seem to come from the future. */
function lateOf<Bar>(counts: readonly Bar[], now: number, at: string): Bar | undefined {
  return Date.parse(at) > now ? counts.at(-1) : undefined;
}

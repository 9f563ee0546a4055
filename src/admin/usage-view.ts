import type { AppUsage } from '../cmdb/cmdb.js';
import { type Counts, type Day, dayOf, plus, summed, usageSoFar } from '../model/usage.js';

/** What an app used on one day, as operators see it. Seconds have three decimals. */
export interface UsageView {
  readonly app: string;
  readonly day: Day;
  readonly labels: Readonly<Record<string, string>>;
  readonly runningSeconds: number;
  /** Boots that became ready, by cause. */
  readonly boots: Readonly<Record<string, number>>;
}

const bootPrefix = 'boots.';

/** The rows of an app in these days, the last day first, with what runs now counted up to `now`. */
export function usageViews({ app, record, days }: AppUsage, from: Day, to: Day, now: number): readonly UsageView[] {
  const running = record ? summed(usageSoFar(record.deployment, now)) : new Map<Day, Counts>();
  const used = new Set([...days.keys(), ...running.keys()].filter((day) => day >= from && day <= to));
  const today = dayOf(now);
  return [...used].toSorted().map((day) => {
    const row = days.get(day);
    // Of days that are over, what the app was then counts: it may be another customer's by now.
    const labels = (day === today ? record?.app.labels : undefined) ?? row?.labels ?? record?.app.labels ?? {};
    return viewOf(app, day, labels, plus(row?.counts ?? {}, running.get(day) ?? {}));
  });
}

function viewOf(app: string, day: Day, labels: UsageView['labels'], counts: Counts): UsageView {
  const boots = Object.entries(counts).flatMap(([name, count]) =>
    name.startsWith(bootPrefix) ? [[name.slice(bootPrefix.length), count] as const] : [],
  );
  return {
    app,
    day,
    labels,
    runningSeconds: (counts.runningMs ?? 0) / 1_000,
    boots: Object.fromEntries(boots),
  };
}

const columns = ['app', 'day', 'labels', 'runningSeconds', 'boots'] as const;

export const csvHead = `${columns.join(',')}\r\n`;

/** A line of CSV (RFC 4180). Labels and boots are pairs such as `customer=c1;plan=small`, with `%`, `;` and `=` within as `%25`, `%3B`, `%3D`. */
export function csvLine(view: UsageView): string {
  const cells = columns.map((name) => {
    const value = view[name];
    return quoted(typeof value === 'object' ? pairsOf(value) : String(value));
  });
  return `${cells.join(',')}\r\n`;
}

function pairsOf(values: Readonly<Record<string, unknown>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${inPair(String(value))}`)
    .join(';');
}

/** Who may write a label must not seem to have written another. */
function inPair(text: string): string {
  return text.replaceAll(/[%;=]/g, encodeURIComponent);
}

function quoted(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

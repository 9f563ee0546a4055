import type { Deployment } from './deployment.js';
import { findInstance } from './deployment.js';
import type { BootCause } from './instance.js';

/** A day in UTC, such as `2026-11-30`; days sort as text. */
export type Day = string;

/** What is counted of an app; all add up. */
export type Counter =
  /** How long its containers ran, in milliseconds. */
  | 'runningMs'
  /** Boots that became ready. */
  | `boots.${BootCause}`;

export type Counts = Readonly<Partial<Record<Counter, number>>>;

/** What was used on one day. */
export interface DayCounts {
  readonly day: Day;
  readonly counts: Counts;
}

/** What an app used on one day, and the labels that it had when that was last written. */
export interface UsageRow {
  readonly labels: Readonly<Record<string, string>>;
  readonly counts: Counts;
}

/** What is added to an app's usage of one day. */
export interface Use extends UsageRow {
  readonly app: string;
  readonly day: Day;
  /** The day is over: if it has a row, that keeps its labels. */
  readonly isOver: boolean;
}

/** What a runtime knows of an instance that is removed from its deployment. Times are epoch milliseconds. */
export interface Ran {
  readonly id: string;
  readonly startedAt?: number | undefined;
  readonly endedAt?: number | undefined;
}

export const dayMs = 86_400_000;
/** A longer life was started by another clock. */
const longestMs = 400 * dayMs;

export function dayOf(at: number): Day {
  return new Date(at).toISOString().slice(0, 10);
}

/** The first of the `days` days that end with the one at `now`. */
export function oldestDay(now: number, days: number): Day {
  return dayOf(now - (days - 1) * dayMs);
}

/**
 * What a change of a deployment adds to its app's usage: an instance that leaves has run, one that becomes ready was booted. It is
 * stored in the transaction of the change, so it is counted once, whichever node makes the change.
 */
export function usageOfChange(before: Deployment, after: Deployment, now: number, ran?: Ran): readonly DayCounts[] {
  if (before.instances === after.instances) return [];
  const gone = before.instances.filter(({ id }) => !findInstance(after, id));
  const booted = after.instances.filter(
    ({ id, state }) => state !== 'booting' && findInstance(before, id)?.state === 'booting',
  );
  return [
    ...gone.flatMap(({ id, startedAt }) => {
      const known = ran?.id === id ? ran : undefined;
      return runningBetween(startedAt ?? known?.startedAt, known?.endedAt ?? now);
    }),
    ...booted.flatMap(({ cause, readyAt, startedAt }) => {
      if (cause === undefined || readyAt === undefined) return [];
      const counts: Counts = { [`boots.${cause}`]: 1 };
      return [{ day: dayOf(startedAt ?? readyAt), counts }];
    }),
  ];
}

/** What runs now has run so far; counted only when it leaves. */
export function usageSoFar({ instances }: Deployment, now: number): readonly DayCounts[] {
  return instances.flatMap(({ startedAt }) => runningBetween(startedAt, now));
}

/**
 * What is noted of labels that change while the app runs: of today the new ones count, of days before the former ones, though what ran
 * then is counted only when it leaves.
 */
export function usesOfRelabelling(
  deployment: Deployment,
  former: UsageRow['labels'],
  labels: UsageRow['labels'],
  now: number,
): readonly Use[] {
  if (JSON.stringify(former) === JSON.stringify(labels)) return [];
  const today = dayOf(now);
  return [...summed(usageSoFar(deployment, now)).keys()].map((day) => {
    const isOver = day < today;
    return { app: deployment.app, labels: isOver ? former : labels, day, counts: {}, isOver };
  });
}

/** Adds up, day by day. */
export function summed(all: Iterable<DayCounts>): ReadonlyMap<Day, Counts> {
  const days = new Map<Day, Counts>();
  for (const { day, counts } of all) days.set(day, plus(days.get(day) ?? {}, counts));
  return days;
}

export function plus(one: Counts, other: Counts): Counts {
  const sum: Partial<Record<Counter, number>> = { ...one };
  for (const [name, value] of Object.entries(other) as [Counter, number][]) sum[name] = (sum[name] ?? 0) + value;
  return sum;
}

/** Running time of one instance, split at midnight. */
function runningBetween(startedAt: number | undefined, endedAt: number): DayCounts[] {
  if (startedAt === undefined) return [];
  const days: DayCounts[] = [];
  for (let from = Math.max(startedAt, endedAt - longestMs); from < endedAt;) {
    const midnight = (Math.floor(from / dayMs) + 1) * dayMs;
    const until = Math.min(midnight, endedAt);
    days.push({ day: dayOf(from), counts: { runningMs: Math.round(until - from) } });
    from = until;
  }
  return days;
}

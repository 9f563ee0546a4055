import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { adminHeaders } from '../long-run/vital-signs.js';

/** How long a process ran by its own journal; epoch milliseconds. */
export interface Life {
  readonly app: string;
  readonly from: number;
  readonly until: number;
}

/** A time in which the store was away and lost everything; epoch milliseconds. */
export interface Emptied {
  readonly from: number;
  readonly until: number;
}

/** Per instance: what a machine under load may take to tell of a start or an end. */
const toleranceMs = 1_000;
/** Until the nodes have given an emptied store back what runs. */
const restoredMs = 20_000;

/** The lives of all processes, by what they noted when they began and until when they noted anything. */
export function livesIn(journals: string): Life[] {
  return readdirSync(journals).flatMap((instance) => {
    const path = join(journals, instance);
    const [, from] = /^= (\d+)$/m.exec(readFileSync(path, 'utf8')) ?? [];
    if (from === undefined) return [];
    const app = instance.slice(0, instance.lastIndexOf('-'));
    return [{ app, from: Number(from), until: statSync(path).mtimeMs }];
  });
}

/** Running time by app as the daemon tells it, in milliseconds; of all days on which a soak can have begun. */
export async function billedBy(admin: string): Promise<ReadonlyMap<string, number>> {
  const from = new Date(Date.now() - 3 * 86_400_000).toISOString().slice(0, 10);
  const response = await fetch(`${admin}/v1/usage?from=${from}`, { headers: adminHeaders });
  if (!response.ok) throw new Error(`/v1/usage answered ${response.status}`);
  const rows = (await response.json()) as { readonly app: string; readonly runningSeconds: number }[];
  const billed = new Map<string, number>();
  for (const { app, runningSeconds } of rows) billed.set(app, (billed.get(app) ?? 0) + runningSeconds * 1_000);
  return billed;
}

/**
 * Apps whose billed running time is not that of their processes. A store that was emptied has lost what had ended before; what ended
 * while it was restored may be lost or not.
 */
export function wronglyBilled(
  lives: readonly Life[],
  billed: ReadonlyMap<string, number>,
  emptied: Emptied | undefined,
): string[] {
  const { from, until } = emptied ?? { from: 0, until: -restoredMs };
  return [...new Set([...lives.map(({ app }) => app), ...billed.keys()])].flatMap((app) => {
    const mine = lives.filter((life) => life.app === app && life.until > from - toleranceMs);
    const least = sum(mine.filter((life) => life.until > until + restoredMs));
    const most = sum(mine);
    const tolerance = toleranceMs * Math.max(1, mine.length);
    const ms = billed.get(app) ?? 0;
    if (least - tolerance <= ms && ms <= most + tolerance) return [];
    return [
      `${seconds(ms)} s of ${app} are billed, its ${mine.length} processes ran ${seconds(least)} to ${seconds(most)} s`,
    ];
  });
}

function sum(lives: readonly Life[]): number {
  return lives.reduce((all, { from, until }) => all + until - from, 0);
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}

import type { Counts, Day, UsageRow, Use } from '../model/usage.js';
import { plus } from '../model/usage.js';

type Labels = Readonly<Record<string, string>>;

/** The name of an app's row among the documents. */
export function rowName(day: Day, app: string): string {
  return `${day} ${app}`;
}

/** The stored form, which the script of Redis reads and writes as well; its `labels` are text, which the script passes on. */
export function encodeRow({ labels, counts }: UsageRow): string {
  return JSON.stringify({ labels: JSON.stringify(labels), counts });
}

/** An unreadable row counts as empty. */
export function decodeRow(text: string | undefined): UsageRow {
  try {
    const { labels, counts } = JSON.parse(text ?? '{}') as { labels?: string; counts?: Counts };
    return { labels: JSON.parse(labels ?? '{}') as Labels, counts: counts ?? {} };
  } catch {
    return { labels: {}, counts: {} };
  }
}

/** A row with more in it. */
export function addToRow(text: string | undefined, { labels, counts, isOver }: Omit<Use, 'app' | 'day'>): string {
  const row = decodeRow(text);
  return encodeRow({
    labels: isOver && text !== undefined ? row.labels : labels,
    counts: plus(row.counts, counts),
  });
}

import { csvHead, csvLine, type UsageView } from '../../admin/usage-view.js';
import type { ApiClient, Json } from './api-client.js';
import { printList } from './apps.js';
import { printable } from '../../config/problem.js';
import type { Screen } from './screen.js';
import { type Cell, table } from './table.js';

export interface UsageOptions {
  readonly json: boolean;
  readonly csv: boolean;
  readonly app?: string;
  readonly from?: string;
  readonly to?: string;
  readonly label?: readonly string[];
}

/** Tells what apps used, by app and day. */
export async function usage(client: ApiClient, screen: Screen, options: UsageOptions): Promise<void> {
  const { json, csv, app, from, to, label } = options;
  const pages = client.pages('/v1/usage', { app, from, to, label });
  if (json) return printList(pages, screen);
  if (csv) return printCsv(pages, screen);
  const rows: Cell[][] = [];
  for await (const page of pages) rows.push(...page.map(rowOf));
  if (rows.length > 0) screen.out(table(['APP', 'DAY', 'RUNNING', 'BOOTS'], rows, screen));
  else screen.err('nothing was used\n');
}

async function printCsv(pages: AsyncIterable<readonly Json[]>, screen: Screen): Promise<void> {
  screen.out(csvHead);
  for await (const page of pages) for (const view of page) screen.out(lineOf(view));
}

/** Text of others may not act on the terminal; the end of the line is ours. */
function lineOf(view: UsageView): string {
  return `${printable(csvLine(view).slice(0, -2))}\r\n`;
}

function rowOf({ app, day, runningSeconds, boots = {} }: Json): Cell[] {
  const counts = Object.values(boots as Record<string, number>);
  return [String(app), String(day), `${Number(runningSeconds).toFixed(1)}s`, String(counts.reduce((a, b) => a + b, 0))];
}

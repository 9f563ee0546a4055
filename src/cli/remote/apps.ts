import type { ApiClient, Json } from './api-client.js';
import { jsonLine, type Screen, type Style } from './screen.js';
import { type Cell, table } from './table.js';

export interface AppsOptions {
  readonly json: boolean;
  readonly state?: string;
  readonly plan?: string;
  readonly label?: readonly string[];
  readonly text?: string;
}

/** Lists apps, of all pages. */
export async function apps(client: ApiClient, screen: Screen, options: AppsOptions): Promise<void> {
  const { json, state, plan, label, text } = options;
  const pages = client.pages('/v1/apps', { state, plan, label, text });
  if (json) return printList(pages, screen);
  const rows: Cell[][] = [];
  for await (const page of pages) rows.push(...page.map(rowOf));
  if (rows.length > 0) screen.out(table(['NAME', 'STATE', 'INSTANCES', 'RUNTIME', 'PLAN', 'DOMAINS'], rows, screen));
  else screen.err(label || plan || state || text ? 'no app fits\n' : 'there are no apps\n');
}

/** One JSON list of all pages, an item a line. */
export async function printList(pages: AsyncIterable<readonly Json[]>, screen: Screen): Promise<void> {
  let between = '[\n';
  for await (const page of pages)
    for (const item of page) {
      screen.out(between + jsonLine(item));
      between = ',\n';
    }
  screen.out(between === '[\n' ? '[]\n' : '\n]\n');
}

const styles: Readonly<Record<string, Style>> = {
  ready: 'green',
  booting: 'yellow',
  ending: 'yellow',
  draining: 'yellow',
  failed: 'red',
  alive: 'green',
  silent: 'red',
  asleep: 'dim',
  removed: 'dim',
};

/** The state of an app, an instance or a node. */
export function stateCell(state: unknown): Cell {
  const style = styles[String(state)];
  return style ? [String(state), style] : String(state);
}

function rowOf({ name, state, instances = {}, runtime, plan = '', domains = [] }: Json): Cell[] {
  const counts = Object.entries(instances as Record<string, unknown>).map(
    ([kind, count]) => `${String(count)} ${kind}`,
  );
  const [first = '', ...more] = (domains as unknown[]).map(String);
  const shown = more.length === 0 ? first : `${first} +${more.length}`;
  return [String(name), stateCell(state), counts.join(', '), String(runtime), String(plan), shown];
}

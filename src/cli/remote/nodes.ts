import type { ApiClient, Json } from './api-client.js';
import { printList, stateCell } from './apps.js';
import type { Screen } from './screen.js';
import { type Cell, table } from './table.js';

/** Lists the dispatcher processes that share the store. */
export async function nodes(client: ApiClient, screen: Screen, { json }: { readonly json: boolean }): Promise<void> {
  const pages = client.pages('/v1/nodes');
  if (json) return printList(pages, screen);
  const rows: Cell[][] = [];
  for await (const page of pages) rows.push(...page.map(rowOf));
  screen.out(table(['NODE', 'HOST', 'STATE', 'PID', 'USES', 'RUNTIMES'], rows, screen));
}

function rowOf({ node, host, state, pid, instances, runtimes = {} }: Json): Cell[] {
  return [
    String(node),
    String(host),
    stateCell(state),
    String(pid),
    String(instances),
    Object.keys(runtimes).join(', '),
  ];
}

import { printList, stateCell } from './apps.js';
import type { ApiClient, Json } from './api-client.js';
import type { Screen } from './screen.js';
import { type Cell, distance, table } from './table.js';

export interface InstancesOptions {
  readonly json: boolean;
}

/** Lists instances, of all apps or of one. */
export async function instances(
  client: ApiClient,
  screen: Screen,
  { app, json }: InstancesOptions & { readonly app?: string },
): Promise<void> {
  const pages = client.pages('/v1/instances', { app });
  if (json) return printList(pages, screen);
  const found: Json[] = [];
  for await (const page of pages) found.push(...page);
  if (found.length > 0) screen.out(instanceTable(found, screen));
  else screen.err('no instance runs\n');
}

export function instanceTable(found: readonly Json[], screen: Screen): string {
  const now = screen.now();
  const rows = found.map((it): Cell[] => [
    ...[
      String(it.id),
      String(it.app),
      stateCell(it.state),
      String(it.runtime),
      String(it.host),
      String(it.address ?? ''),
    ],
    ...[distance(it.readyAt ?? it.bootedAt, now), distance(it.lastActiveAt, now), String(it.inflight ?? '')],
    it.end ? `ends: ${it.end.reason}` : it.failedRevision ? `not replaced: ${it.failedRevision.message}` : '',
  ]);
  return table(['ID', 'APP', 'STATE', 'RUNTIME', 'HOST', 'ADDRESS', 'AGE', 'ACTIVE', 'REQUESTS', 'NOTE'], rows, screen);
}

import { stringify } from '../../libraries/yaml.js';
import { printable } from '../../config/problem.js';
import { type ApiClient, appPath, type Json } from './api-client.js';
import { stateCell } from './apps.js';
import { instanceTable } from './instances.js';
import { jsonLine, type Screen } from './screen.js';
import { distance, fields } from './table.js';

export interface AppOptions {
  readonly name: string;
  readonly json: boolean;
  readonly effective: boolean;
}

/** Tells everything of an app: how it is, its instances, and what it says. With `json`, what the API answers, and the ETag. */
export async function app(client: ApiClient, screen: Screen, { name, json, effective }: AppOptions): Promise<void> {
  const { body, headers } = await client.ask('GET', appPath(name));
  const etag = headers.etag ?? '';
  if (json) return screen.out(`${jsonLine({ ...body, etag })}\n`);
  screen.out(fields(summaryOf(body, etag, screen.now()), screen));
  const { body: found } = await client.ask('GET', '/v1/instances', { query: { app: name } });
  if (found.length > 0) screen.out(`\n${instanceTable(found, screen)}`);
  const [what, document] = effective
    ? ['with plan, defaults and built-ins', body.effective]
    : [body.source?.kind === 'api' ? 'as written' : 'as its file makes it', body.app];
  screen.out(`\n${screen.style('dim', `# ${what}`)}\n`);
  for (const line of stringify(document).trimEnd().split('\n')) screen.out(`${printable(line)}\n`);
}

function summaryOf(body: Json, etag: string, now: number): Parameters<typeof fields>[0] {
  const { source = {}, breaker, failedRevision } = body;
  const labels = Object.entries(body.labels ?? {}).map(([key, value]) => `${key}=${String(value)}`);
  return [
    ['name', String(body.name)],
    ['state', stateCell(body.state)],
    ['domains', (body.domains ?? []).join(', ')],
    ['runtime', String(body.runtime)],
    ['plan', body.plan],
    ['labels', labels.join(', ')],
    ['source', sourceOf(source, now)],
    ['data on', body.pinnedTo],
    ['failure', breaker && ([failureOf(breaker, now), 'red'] as const)],
    ['new revision', failedRevision && ([failureOf(failedRevision, now), 'red'] as const)],
    ['revision', String(body.revision)],
    ['etag', etag],
  ];
}

function sourceOf({ kind, token, file, host, since }: Json, now: number): string {
  const when = since ? `, ${distance(since, now)} ago` : '';
  if (kind === 'api') return `API, by ${token} at ${host}${when}`;
  return kind === 'file' ? `file ${file ?? ''} of ${host}${when}` : String(kind);
}

function failureOf({ code, message, failures, retryAt }: Json, now: number): string {
  const isAhead = Date.parse(retryAt) > now;
  const retried = isAhead ? `; again possible in ${distance(retryAt, now)}` : '';
  return `${code}: ${message} (${failures} in a row${retried})`;
}

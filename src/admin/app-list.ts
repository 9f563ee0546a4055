import type { AppRecord } from '../cmdb/cmdb.js';
import { type AppState, appView, stateOf } from './app-view.js';
import { type Caller, knows } from './caller.js';

export interface AppFilter {
  readonly state?: AppState;
  readonly plan?: string;
  /** Each `NAME=VALUE`, or `NAME` for any value. */
  readonly label?: readonly string[];
  /** Part of the name or of a domain, in lower case or not. */
  readonly text?: string;
}

export interface AppPage {
  readonly apps: readonly unknown[];
  /** The name that the next page begins after; absent on the last page. */
  readonly next?: string;
}

/** The first `limit` apps, of those that come in the order of their names, that the caller knows and the filter lets through. */
export async function pageOf(
  records: AsyncIterable<AppRecord>,
  { caller, filter, limit }: { readonly caller: Caller; readonly filter: AppFilter; readonly limit: number },
): Promise<AppPage> {
  const apps: unknown[] = [];
  let last = '';
  for await (const record of records) {
    if (!knows(caller, record.app) || !passes(record, filter)) continue;
    if (apps.length === limit) return { apps, next: last };
    apps.push(appView(record));
    last = record.app.name;
  }
  return { apps };
}

function passes(record: AppRecord, { state, plan, label = [], text }: AppFilter): boolean {
  const { app, origin } = record;
  if (state !== undefined && stateOf(record) !== state) return false;
  if (plan !== undefined && origin?.api?.written['plan'] !== plan) return false;
  if (!label.every((wanted) => hasLabel(app.labels, wanted))) return false;
  const part = text?.toLowerCase();
  return part === undefined || [app.name, ...app.domains].some((name) => name.includes(part));
}

/** Whether the labels have `NAME=VALUE`, or `NAME` with any value. */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf('=');
  const name = at < 0 ? wanted : wanted.slice(0, at);
  return Object.hasOwn(labels, name) && (at < 0 || labels[name] === wanted.slice(at + 1));
}

import type { App } from '../model/app.js';
import type { AppOrigin, PutOrigin } from './cmdb.js';
import type { RecordFormat, StoredApp } from './record-format.js';

/** Whether putting `app` changes nothing: the record holds that app already, or a newer one that came from a file. */
export function staysAs(
  app: App,
  text: string | undefined,
  origin: PutOrigin | undefined,
  decode: () => StoredApp | undefined,
  format: RecordFormat,
): boolean {
  const held = format.holdsApp(text, app);
  if (held === 'by API') return false;
  // An app that an operator's file holds as well is no longer the customer's.
  if (held === 'of a customer') return origin?.customer !== undefined;
  if (held) return held === 'with origin' || origin === undefined;
  if (origin === undefined || origin.changed || text === undefined) return false;
  const stored = decode();
  if (!stored?.origin || stored.removed || isForeign(stored, origin)) return false;
  const givesWay = stored.origin.customer !== undefined && origin.customer === undefined;
  return !givesWay && isNewer(stored.origin, origin);
}

/**
 * Whether the file of this origin may not replace or remove an app: none may touch what was put by API, and a customer's may not touch
 * what came from another machine, unless it came from the same path there. Among the files of one machine their reader decides.
 */
export function isForeign(
  stored: Pick<StoredApp, 'removed' | 'origin'> | undefined,
  origin: AppOrigin | undefined,
): boolean {
  if (!origin || !stored || stored.removed) return false;
  const { host, customer, api } = stored.origin ?? {};
  if (api || origin.customer === undefined) return api !== undefined;
  return host !== origin.host && customer !== origin.customer;
}

/** The record for an app that is put over another one. The same content keeps its earlier origin, except if an operator takes it over. */
export function recordToPut(
  app: App,
  text: string | undefined,
  stored: StoredApp | undefined,
  origin: PutOrigin | undefined,
  format: RecordFormat,
): StoredApp {
  const before = stored?.origin;
  const isSameOwner = before?.customer === undefined || origin?.customer !== undefined;
  if (before && isSameOwner && format.holdsApp(text, app)) return { app, removed: false, origin: before };
  if (!origin) return { app, removed: false };
  const { host, since, changed, customer } = origin;
  // A file that just changed is newer, even if its machine's clock is behind.
  const counted = changed && before ? Math.max(since, before.since + 1) : since;
  return { app, removed: false, origin: { host, since: counted, ...(customer !== undefined && { customer }) } };
}

/** The same order on all machines; files of the same moment are ordered by host. */
function isNewer(stored: AppOrigin, put: AppOrigin): boolean {
  return stored.since > put.since || (stored.since === put.since && stored.host > put.host);
}

import type { App } from '../model/app.js';
import type { AppOrigin, PutOrigin } from './cmdb.js';
import type { RecordFormat, StoredApp } from './record-format.js';

/** Whether the record stays as it is where `app` is put: it holds that app already, or a newer one that came from a file. */
export function staysAs(
  app: App,
  text: string | undefined,
  origin: PutOrigin | undefined,
  decode: () => StoredApp | undefined,
  format: RecordFormat,
): boolean {
  const held = format.holdsApp(text, app);
  // An app that an operator has, too, is no longer the customer's.
  if (held === 'of a customer') return origin?.customer !== undefined;
  if (held) return held === 'with origin' || origin === undefined;
  if (origin === undefined || origin.changed || text === undefined) return false;
  const stored = decode();
  if (!stored?.origin || stored.removed || isForeign(stored, origin)) return false;
  const givesWay = stored.origin.customer !== undefined && origin.customer === undefined;
  return !givesWay && isNewer(stored.origin, origin);
}

/**
 * Whether an app is not for the file of this origin to replace or remove: a customer's file has no say over what came from another
 * machine, unless it came from the file of the same path there. Between the files of one machine its reader decides.
 */
export function isForeign(
  stored: Pick<StoredApp, 'removed' | 'origin'> | undefined,
  origin: AppOrigin | undefined,
): boolean {
  if (origin?.customer === undefined || !stored || stored.removed) return false;
  const { host, customer } = stored.origin ?? {};
  return host !== origin.host && customer !== origin.customer;
}

/** The record to store for an app that is put over another one. Who has had the same content for longer goes on to be its origin. */
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
  // A machine whose clock is behind has changed its file all the same.
  const counted = changed && before ? Math.max(since, before.since + 1) : since;
  return { app, removed: false, origin: { host, since: counted, ...(customer !== undefined && { customer }) } };
}

/** One order for all machines, also for files of the same moment. */
function isNewer(stored: AppOrigin, put: AppOrigin): boolean {
  return stored.since > put.since || (stored.since === put.since && stored.host > put.host);
}

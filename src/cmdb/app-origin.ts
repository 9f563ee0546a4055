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
  if (held) return held === 'with origin' || origin === undefined;
  if (origin === undefined || origin.changed || text === undefined) return false;
  const stored = decode();
  return stored?.origin !== undefined && !stored.removed && isNewer(stored.origin, origin);
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
  if (before && format.holdsApp(text, app)) return { app, removed: false, origin: before };
  if (!origin) return { app, removed: false };
  const { host, since, changed } = origin;
  // A machine whose clock is behind has changed its file all the same.
  const counted = changed && before ? Math.max(since, before.since + 1) : since;
  return { app, removed: false, origin: { host, since: counted } };
}

/** One order for all machines, also for files of the same moment. */
function isNewer(stored: AppOrigin, put: AppOrigin): boolean {
  return stored.since > put.since || (stored.since === put.since && stored.host > put.host);
}

import type { App } from '../model/app.js';
import type { Note } from '../model/ledger/facts.js';
import { nextDueAt } from '../model/schedule.js';
import { type Day, dayMs, dayOf, oldestDay } from '../model/usage.js';
import { applyApps, editApp } from './apply.js';
import { inTurns } from '../machine/batches.js';
import type {
  AppChange,
  AppEdit,
  AppRecord,
  AppUsage,
  Beat,
  ChangeBatch,
  Cmdb,
  Conflict,
  DeploymentChange,
  Edited,
  FoundApp,
  LedgerPage,
  LedgerQuery,
  Session,
  Updated,
  UsageQuery,
} from './cmdb.js';
import { type DocumentStore, type Documents, ledgerStart, type Wanted } from './documents.js';
import { checkAppKeys, checkKey, isKey } from './key-limits.js';
import { checkPlace, eventOf } from './ledger-format.js';
import type { RecordReader } from './record-reader.js';
import { Records, wildcardOf } from './records.js';
import { updateDeployment } from './update.js';
import { decodeRow, rowName } from './usage-row.js';

interface CmdbOptions {
  /** The time in epoch milliseconds; of the system by default. */
  readonly now?: () => number;
  /** For how many days the store keeps usage; 62 by default. */
  readonly usageDays?: number;
}

/** The CMDB on top of a store of documents: what Redis and LMDB have in common. */
export function createCmdb(store: DocumentStore, reader: RecordReader, options: CmdbOptions): Cmdb {
  return new DocumentCmdb(store, reader, options);
}

class DocumentCmdb implements Cmdb {
  readonly #store: DocumentStore;
  readonly #reader: RecordReader;
  readonly #now: () => number;
  readonly #usageDays: number;

  constructor(store: DocumentStore, reader: RecordReader, { now = Date.now, usageDays = 62 }: CmdbOptions) {
    this.#store = store;
    this.#reader = reader;
    this.#now = now;
    this.#usageDays = usageDays;
  }

  async apply(change: AppChange): Promise<Conflict[]> {
    const { put, remove } = normalChange(change);
    for (const app of put) checkAppKeys(app);
    if (change.files) checkKey('host', change.files.host);
    return applyApps(put, remove.filter(isKey), {
      store: this.#store,
      origins: change.origins ?? new Map(),
      files: change.files,
      reader: this.#reader,
      now: this.#now(),
    });
  }

  async edit<Edit extends AppEdit>(
    app: string,
    change: (before: FoundApp) => Edit,
    { dryRun = false } = {},
  ): Promise<Edited<Edit>> {
    checkKey('app', app);
    const checked = (before: FoundApp) => {
      const edit = change(before);
      if (typeof edit === 'object') checkAppKeys(edit.app);
      return edit;
    };
    const run = (documents: Documents) =>
      editApp(app, checked, documents, this.#records(documents), { dryRun, now: this.#now() });
    return dryRun ? this.#store.view(recordOf(app), run) : this.#store.write(recordOf(app), run);
  }

  async find(query: Parameters<Cmdb['find']>[0]): Promise<AppRecord | undefined> {
    if ('app' in query) {
      const { app } = query;
      return this.#store.view(recordOf(app), (documents) => this.#records(documents).record(app));
    }
    const { domain } = query;
    const claims = [domain, wildcardOf(domain)].filter(isKey).map((claim): Wanted => ['domain', claim]);
    return this.#store.view(claims, (documents) => this.#records(documents).find(domain));
  }

  async *list(which: 'all' | 'active', after?: string): AsyncIterable<AppRecord> {
    const found = await this.#store.names(which === 'all' ? 'all' : 'scheduled');
    const names = after === undefined ? found : found.filter((name) => name > after).toSorted();
    for await (const some of inTurns(names, this.#store.batch.read)) {
      const read = await this.#store.view(some.flatMap(recordOf), (documents) =>
        some.map((name) => this.#records(documents).record(name)),
      );
      for (const record of read) if (record && (which === 'all' || isActive(record))) yield record;
    }
  }

  async update(app: string, change: DeploymentChange, note?: Note): Promise<Updated> {
    checkKey('app', app);
    return this.#store.write(recordOf(app), (documents) =>
      updateDeployment(app, change, note, { documents, records: this.#records(documents), now: this.#now() }),
    );
  }

  async ledger(query: LedgerQuery): Promise<LedgerPage> {
    const { app, after = ledgerStart } = query;
    checkPlace(after);
    if (app !== undefined && !isKey(app)) return { events: [], position: after, gap: false };
    const { entries, gap } = await this.#store.entries(query);
    const events = entries.flatMap(({ id, text }) => eventOf(id, text) ?? []);
    return { events, position: entries.at(-1)?.id ?? after, gap };
  }

  async *usage({ from, to, app, after = '' }: UsageQuery): AsyncIterable<AppUsage> {
    const oldest = oldestDay(this.#now(), this.#usageDays);
    const first = from > oldest ? from : oldest;
    const days = daysOf(first, to);
    const all = app === undefined ? await this.#usersSince(first) : [app].filter(isKey);
    const names = all.filter((name) => name > after).toSorted();
    for await (const some of inTurns(names, Math.max(1, Math.floor(mostRowsRead / (days.length + 2))))) {
      const wanted = some.flatMap((name) => [
        ...recordOf(name),
        ...days.map((day): Wanted => ['usage', rowName(day, name)]),
      ]);
      yield* await this.#store.view(wanted, (documents) =>
        some.map((name) => ({
          app: name,
          record: this.#records(documents).record(name),
          days: new Map(
            days.flatMap((day) => {
              const text = documents.get('usage', rowName(day, name));
              return text === undefined ? [] : [[day, decodeRow(text)]];
            }),
          ),
        })),
      );
    }
  }

  /** Names of apps that have rows or may have instances. */
  async #usersSince(day: Day): Promise<readonly string[]> {
    const [users, scheduled] = await Promise.all([this.#store.usersSince(day), this.#store.names('scheduled')]);
    return [...new Set([...users, ...scheduled])];
  }

  changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch> {
    return this.#store.changes(position, signal);
  }

  due(now: number, limit: number): Promise<string[]> {
    return this.#store.due(now, limit);
  }

  async beat(session: Session, revoke: readonly string[] = []): Promise<Beat> {
    for (const incarnation of [session.incarnation, ...revoke]) checkKey('session', incarnation);
    return this.#store.beat(session, revoke);
  }

  async sealed(name: string): Promise<string | undefined> {
    if (!isKey(name)) return undefined;
    return this.#store.view([['sealed', name]], (documents) => documents.get('sealed', name));
  }

  async changeSealed(
    name: string,
    change: (before: string | undefined) => string | undefined,
  ): Promise<string | undefined> {
    checkKey('sealed document', name);
    return this.#store.write([['sealed', name]], (documents) => {
      const before = documents.get('sealed', name);
      const after = change(before);
      if (after !== before) documents.set('sealed', name, after);
      return after;
    });
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #records(documents: Documents): Records {
    return new Records(documents, this.#reader);
  }
}

/** Rows that are read in one transaction. */
const mostRowsRead = 1_000;

function daysOf(from: Day, to: Day): Day[] {
  const days: Day[] = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += dayMs) days.push(dayOf(at));
  return days;
}

function recordOf(app: string): Wanted[] {
  if (!isKey(app)) return [];
  return [
    ['app', app],
    ['deployment', app],
  ];
}

/** Whether an app has instances, or needs some. */
function isActive({ app, removed, deployment }: AppRecord): boolean {
  return deployment.instances.length > 0 || (!removed && nextDueAt(deployment, app) !== undefined);
}

/** A change without repetitions: of two apps of one name the later one counts, and an app that is put is not removed. */
function normalChange({ put, remove }: AppChange): Pick<AppChange, 'put' | 'remove'> {
  const apps = new Map(put.map((app): [string, App] => [app.name, app]));
  return { put: [...apps.values()], remove: [...new Set(remove)].filter((name) => !apps.has(name)) };
}

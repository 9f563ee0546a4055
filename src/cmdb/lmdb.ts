import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { type Database, open, type RootDatabase } from 'lmdb';
import { nextDueAt } from '../model/schedule.js';
import type {
  AppChange,
  AppRecord,
  Beat,
  Change,
  ChangeBatch,
  Cmdb,
  DeploymentChange,
  DomainConflict,
  Session,
  UnreadableReport,
} from './cmdb.js';
import { isActive } from './active.js';
import { batches } from './batches.js';
import { changeTo } from './change-to.js';
import { checkAppKeys, checkKey } from './key-limits.js';
import { applyApps } from './lmdb/apply.js';
import { Bell } from './lmdb/bell.js';
import { ChangeTable } from './lmdb/change-log.js';
import { Records } from './lmdb/records.js';
import { Schedule } from './lmdb/schedule.js';
import { Transactions } from './lmdb/transactions.js';
import { normalChange } from './normal-change.js';
import type { StoredApp, StoredDeployment } from './record-format.js';
import { decodeSession, encodeSession } from './session-format.js';
import { tombstone } from './tombstone.js';

export interface LmdbCmdbOptions {
  /** Directory of the store; made where it is missing. */
  readonly path: string;
  readonly onUnreadable: UnreadableReport;
  /** Changes the log holds; who is further behind has fallen off. */
  readonly logLength?: number;
  /** Longest wait of `changes`, in milliseconds. */
  readonly changesWaitMs?: number;
  /** 2 s unless told. */
  readonly timeLimitMs?: number;
}

const postponeMs = 5_000;
/** Records of a list that are read in one turn of the event loop: reads of this store do not wait for anything. */
const listBatch = 50;

/**
 * Opens the embedded store for the processes of one machine. Every write is one LMDB transaction, so there is no
 * unknown outcome; a large `apply` is several of them. Throws an Error that names the path where it cannot be opened.
 */
export function openLmdbCmdb(options: LmdbCmdbOptions): Cmdb {
  try {
    mkdirSync(options.path, { recursive: true, mode: 0o700 });
    const root = open<string, string>({ path: options.path, maxDbs: 16, encoding: 'string' });
    return new LmdbCmdb(root, options);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot open the CMDB in ${options.path}: ${why}; make the directory writable or change cmdb`, {
      cause: error,
    });
  }
}

class LmdbCmdb implements Cmdb {
  readonly #options: LmdbCmdbOptions;
  readonly #root: RootDatabase<string, string>;
  readonly #transactions: Transactions;
  readonly #records: Records;
  readonly #schedule: Schedule;
  readonly #log: ChangeTable;
  readonly #sessions: Database<string, string>;
  readonly #bell: Bell;
  readonly #closing = new AbortController();
  /** Whether the transaction under way tells of a change. */
  #appended = false;

  constructor(root: RootDatabase<string, string>, options: LmdbCmdbOptions) {
    this.#options = options;
    this.#root = root;
    this.#transactions = new Transactions(root, options.timeLimitMs ?? 2_000);
    this.#records = new Records(root, options.onUnreadable);
    this.#schedule = new Schedule(root);
    this.#log = new ChangeTable(root, options.logLength ?? 10_000);
    this.#sessions = root.openDB<string, string>({ name: 'sessions', encoding: 'string' });
    this.#bell = new Bell(options.path);
  }

  async apply(change: AppChange): Promise<DomainConflict[]> {
    const { put, remove } = normalChange(change);
    for (const app of put) checkAppKeys(app);
    return applyApps(put, remove, {
      records: this.#records,
      schedule: this.#schedule,
      origins: change.origins ?? new Map(),
      append: (entry) => this.#append(entry),
      read: (run) => this.#read(run),
      write: (run) => this.#write(run),
    });
  }

  async find(query: Parameters<Cmdb['find']>[0]): Promise<AppRecord | undefined> {
    return this.#read(() => {
      if ('app' in query) return this.#records.record(query.app);
      const { domain } = query;
      const claim = this.#leadsNowhere(domain)
        ? domain
        : [domain, wildcardOf(domain)].find((name) => this.#owner(name));
      const owner = claim === undefined ? undefined : this.#owner(claim);
      return owner && { ...owner, ...this.#records.deployment(owner.app.name) };
    });
  }

  async *list(which: 'all' | 'active'): AsyncIterable<AppRecord> {
    const names = this.#read(() => (which === 'all' ? this.#records.names() : this.#schedule.apps()));
    for (const some of batches(names, listBatch)) {
      for (const name of some) {
        const record = this.#read(() => this.#records.record(name));
        if (record && (which === 'all' || isActive(record))) yield record;
      }
      // Requests go on while thousands of apps are walked.
      await turn();
    }
  }

  async update(app: string, change: DeploymentChange): Promise<StoredDeployment> {
    checkKey('app', app);
    let fault: { readonly error: unknown } | undefined;
    const written = await this.#write(() => {
      const current = this.#records.deployment(app);
      const stored = this.#records.app(app);
      let deployment = current.deployment;
      try {
        deployment = change(deployment, stored?.app);
      } catch (error) {
        // The caller's own fault is the caller's to see, not the store's.
        fault = { error };
      }
      if (deployment === current.deployment) return current;
      const next = { deployment, version: randomToken() };
      this.#put(app, stored, next);
      return next;
    });
    if (fault) throw fault.error;
    return written;
  }

  async changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch> {
    const until = AbortSignal.any([
      signal,
      this.#closing.signal,
      AbortSignal.timeout(this.#options.changesWaitMs ?? 5_000),
    ]);
    const store = this.#read(() => this.#root.get('identity')) ?? (await this.#write(() => this.#identity()));
    for (;;) {
      const ring = this.#bell.next(until);
      const batch = this.#read(() => this.#log.after(position, store));
      if (position === undefined || batch.lost || batch.changes.length > 0 || until.aborted) {
        ring.cancel();
        return batch;
      }
      await ring.rung;
    }
  }

  async due(now: number, limit: number): Promise<string[]> {
    if (this.#read(() => this.#schedule.due(now, 1)).length === 0) return [];
    return this.#write(() => {
      const names = this.#schedule.due(now, limit);
      for (const name of names) this.#schedule.set(name, now + postponeMs);
      return names;
    });
  }

  async beat(session: Session, revoke: readonly string[] = []): Promise<Beat> {
    for (const incarnation of [session.incarnation, ...revoke]) checkKey('session', incarnation);
    return this.#write(() => {
      const revoked = session.beats > 0 && this.#sessions.get(session.incarnation) === undefined;
      if (!revoked) void this.#sessions.put(session.incarnation, encodeSession(session));
      for (const incarnation of revoke) void this.#sessions.remove(incarnation);
      const sessions = [...this.#sessions.getRange()].flatMap(({ key, value }) => {
        const found = this.#records.decode(`session ${key}`, () => decodeSession(key, value));
        return found ? [found] : [];
      });
      return { identity: this.#identity(), sessions, revoked };
    });
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#bell.close();
    await this.#transactions.close();
  }

  #owner(claim: string): StoredApp | undefined {
    return this.#records.owner(claim);
  }

  /** A domain of an app that cannot be read leads nowhere, least of all to the app of a wildcard above it. */
  #leadsNowhere(domain: string): boolean {
    const name = this.#records.claimant(domain);
    return name !== undefined && this.#records.appText(name) !== undefined && this.#records.app(name) === undefined;
  }

  #put(app: string, stored: StoredApp | undefined, next: StoredDeployment): void {
    const { deployment, version } = next;
    // A record that cannot be read, of a newer version perhaps, is not this program's to delete.
    const isGone = stored ? stored.removed : this.#records.appText(app) === undefined;
    const isDropped = deployment.instances.length === 0 && isGone;
    if (isDropped) this.#records.drop(app);
    else {
      this.#records.putDeployment(app, next);
      if (isGone && !stored) this.#records.putApp(app, tombstone(app, deployment));
    }
    const at = isDropped ? undefined : nextDueAt(deployment, stored?.app);
    // What is left of a removed app is looked at soon, whatever its own times are.
    this.#schedule.set(app, isGone && at !== undefined ? Math.min(at, this.#schedule.dueAt(app) ?? 0) : at);
    this.#append(changeTo(deployment, version));
  }

  #append(change: Change): void {
    this.#log.append(change);
    this.#appended = true;
  }

  #identity(): string {
    const known = this.#root.get('identity');
    if (known !== undefined) return known;
    const identity = randomToken();
    void this.#root.put('identity', identity);
    return identity;
  }

  #read<T>(run: () => T): T {
    return this.#transactions.read(run);
  }

  async #write<T>(run: () => T): Promise<T> {
    let appended = false;
    try {
      return await this.#transactions.write(() => {
        this.#appended = false;
        try {
          return run();
        } finally {
          appended = this.#appended;
        }
      });
    } finally {
      // Whoever wrote goes on first: to follow a change takes as long as to write it.
      if (appended) setImmediate(() => this.#bell.ring());
    }
  }
}

function wildcardOf(domain: string): string {
  return domain.replace(/^[^.]*/, '*');
}

function randomToken(): string {
  return randomBytes(12).toString('base64url');
}

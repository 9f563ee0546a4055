import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { type Database, open, type RootDatabase } from 'lmdb';
import { emptyDeployment } from '../model/deployment.js';
import { RequestError } from '../model/errors.js';
import { nextDueAt } from '../model/schedule.js';
import type {
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
import { Bell } from './lmdb/bell.js';
import { ChangeTable } from './lmdb/change-log.js';
import { Schedule } from './lmdb/schedule.js';
import {
  decodeApp,
  decodeDeployment,
  encodeApp,
  encodeDeployment,
  type StoredApp,
  type StoredDeployment,
} from './record-format.js';

export interface LmdbCmdbOptions {
  /** Directory of the store; made where it is missing. */
  readonly path: string;
  readonly onUnreadable: UnreadableReport;
  /** Changes the log holds; who is further behind has fallen off. */
  readonly logLength?: number;
  /** Longest wait of `changes`, in milliseconds. */
  readonly changesWaitMs?: number;
}

const postponeMs = 5_000;
const longestDomain = 255;

/**
 * Opens the embedded store for the processes of one machine. Every write is one LMDB transaction, so there is no
 * unknown outcome. Throws an Error that names the path where it cannot be opened.
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
  readonly #apps: Database<string, string>;
  readonly #deployments: Database<string, string>;
  readonly #domains: Database<string, string>;
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
    const table = (name: string) => root.openDB<string, string>({ name, encoding: 'string' });
    this.#apps = table('apps');
    this.#deployments = table('deployments');
    this.#domains = table('domains');
    this.#schedule = new Schedule(root);
    this.#log = new ChangeTable(root, options.logLength ?? 10_000);
    this.#sessions = table('sessions');
    this.#bell = new Bell(options.path);
  }

  async apply({ put, remove }: Parameters<Cmdb['apply']>[0]): Promise<DomainConflict[]> {
    return this.#write(() => {
      // Removed first: what they give up may be wanted by the others.
      for (const name of remove) this.#removeApp(name);
      return put.flatMap((app) => this.#putApp({ app, removed: false }));
    });
  }

  async find(query: Parameters<Cmdb['find']>[0]): Promise<AppRecord | undefined> {
    return this.#read(() => {
      if ('app' in query) return this.#record(query.app);
      return this.#owner(query.domain, query.domain) ?? this.#owner(query.domain.replace(/^[^.]*/, '*'), query.domain);
    });
  }

  /** A claim that its owner does not list any more leads nowhere, least of all to somebody else's container. */
  #owner(claim: string, domain: string): AppRecord | undefined {
    const name = domain.length > longestDomain ? undefined : this.#domains.get(claim);
    const record = name === undefined ? undefined : this.#record(name);
    return record && !record.removed && record.app.domains.includes(claim) ? record : undefined;
  }

  async *list(which: 'all' | 'active'): AsyncIterable<AppRecord> {
    const names = this.#read(() => (which === 'all' ? [...this.#apps.getKeys()] : this.#schedule.apps()));
    for (const name of names) {
      const record = this.#read(() => this.#record(name));
      if (record) yield record;
    }
  }

  async update(app: string, change: DeploymentChange): Promise<StoredDeployment> {
    let fault: { readonly error: unknown } | undefined;
    const written = await this.#write(() => {
      const current = this.#deployment(app);
      const stored = this.#app(app);
      let deployment = current.deployment;
      try {
        deployment = change(deployment, stored?.app);
      } catch (error) {
        // The caller's own fault is the caller's to see, not the store's.
        fault = { error };
      }
      if (deployment === current.deployment) return current;
      const next = { deployment, version: randomToken() };
      // A record that cannot be read, of a newer version perhaps, is not this program's to delete.
      const isGone = stored ? stored.removed : this.#apps.get(app) === undefined;
      const isDropped = deployment.instances.length === 0 && isGone;
      if (isDropped) this.#drop(app);
      else void this.#deployments.put(app, encodeDeployment(next));
      this.#schedule.set(app, isDropped ? undefined : nextDueAt(deployment, stored?.app));
      this.#append({ app, version: next.version });
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
    for (;;) {
      const ring = this.#bell.next(until);
      const batch = this.#read(() => this.#log.after(position));
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
    return this.#write(() => {
      const revoked = session.beats > 0 && this.#sessions.get(session.incarnation) === undefined;
      if (!revoked) void this.#sessions.put(session.incarnation, JSON.stringify(session));
      for (const incarnation of revoke) void this.#sessions.remove(incarnation);
      const sessions = [...this.#sessions.getRange()].flatMap(({ key, value }) => this.#session(key, value));
      return { identity: this.#identity(), sessions, revoked };
    });
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#bell.close();
    await this.#root.close();
  }

  #putApp(stored: StoredApp): DomainConflict[] {
    const { app } = stored;
    const text = encodeApp(stored);
    if (this.#apps.get(app.name) === text) return [];
    const conflicts = app.domains.flatMap((domain) => this.#conflict(domain, app.name));
    if (conflicts.length > 0) return conflicts;
    for (const domain of this.#app(app.name)?.app.domains ?? []) this.#unclaim(domain, app.name);
    for (const domain of app.domains) void this.#domains.put(domain, app.name);
    void this.#apps.put(app.name, text);
    this.#schedule.set(app.name, nextDueAt(this.#deployment(app.name).deployment, app));
    this.#append({ app: app.name });
    return [];
  }

  /** A claim counts only while its owner lives and still lists the domain. */
  #conflict(domain: string, wantedBy: string): DomainConflict[] {
    const ownedBy = this.#domains.get(domain);
    if (ownedBy === undefined || ownedBy === wantedBy) return [];
    const owner = this.#app(ownedBy);
    return owner && !owner.removed && owner.app.domains.includes(domain) ? [{ domain, wantedBy, ownedBy }] : [];
  }

  #removeApp(name: string): void {
    const stored = this.#app(name);
    if (!stored) return;
    for (const domain of stored.app.domains) this.#unclaim(domain, name);
    if (this.#deployment(name).deployment.instances.length === 0) {
      this.#drop(name);
      this.#schedule.set(name, undefined);
    } else {
      void this.#apps.put(name, encodeApp({ app: stored.app, removed: true }));
      this.#schedule.set(name, 0);
    }
    this.#append({ app: name });
  }

  #unclaim(domain: string, owner: string): void {
    if (this.#domains.get(domain) === owner) void this.#domains.remove(domain);
  }

  #drop(name: string): void {
    void this.#apps.remove(name);
    void this.#deployments.remove(name);
  }

  #record(name: string): AppRecord | undefined {
    const stored = this.#app(name);
    return stored && { ...stored, ...this.#deployment(name) };
  }

  #app(name: string): StoredApp | undefined {
    const text = this.#apps.get(name);
    return text === undefined ? undefined : this.#decode(`app ${name}`, () => decodeApp(text));
  }

  #deployment(name: string): StoredDeployment {
    const text = this.#deployments.get(name);
    const stored = text === undefined ? undefined : this.#decode(`deployment ${name}`, () => decodeDeployment(text));
    return stored ?? { deployment: emptyDeployment(name), version: '' };
  }

  #decode<T>(record: string, decode: () => T): T | undefined {
    try {
      return decode();
    } catch (error) {
      this.#options.onUnreadable(record, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  #session(incarnation: string, text: string): Session[] {
    const session = this.#decode(`session ${incarnation}`, () => JSON.parse(text) as Session);
    return session && session.incarnation === incarnation ? [session] : [];
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
    this.#throwIfClosed();
    try {
      // A read transaction is kept for a while; what another process has committed since is to be seen.
      this.#root.resetReadTxn();
      return run();
    } catch (error) {
      throw unavailable(error);
    }
  }

  async #write<T>(run: () => T): Promise<T> {
    this.#throwIfClosed();
    let appended = false;
    try {
      const result = await this.#root.transaction(() => {
        this.#appended = false;
        const value = run();
        appended = this.#appended;
        return value;
      });
      if (appended) this.#bell.ring();
      return result;
    } catch (error) {
      throw unavailable(error);
    }
  }

  #throwIfClosed(): void {
    if (this.#closing.signal.aborted) throw new RequestError('cmdb_unavailable', 'The configuration store is closed.');
  }
}

function unavailable(error: unknown): RequestError {
  return new RequestError('cmdb_unavailable', 'The configuration store cannot be used.', { cause: error });
}

function randomToken(): string {
  return randomBytes(12).toString('base64url');
}

import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { emptyDeployment } from '../model/deployment.js';
import { nextDueAt } from '../model/schedule.js';
import type {
  AppRecord,
  Beat,
  ChangeBatch,
  Cmdb,
  DeploymentChange,
  DomainConflict,
  Session,
  UnreadableReport,
} from './cmdb.js';
import {
  decodeApp,
  decodeDeployment,
  encodeDeployment,
  type StoredApp,
  type StoredDeployment,
} from './record-format.js';
import { applyApps } from './redis/apply.js';
import { ChangeLog } from './redis/change-log.js';
import { connect, type ConnectOptions } from './redis/connect.js';
import { Keys } from './redis/keys.js';
import { Link } from './redis/link.js';
import type { Stored } from './redis/stored.js';

export interface RedisCmdbOptions extends Omit<ConnectOptions, 'timeLimitMs'> {
  /** Prefix of all keys. */
  readonly name: string;
  readonly logger: Logger;
  readonly onUnreadable: UnreadableReport;
  /** 2 s unless told. */
  readonly timeLimitMs?: number;
  /** Changes the log holds, about; 10,000 unless told. */
  readonly logLength?: number;
  /** Longest wait of `changes`, in milliseconds; 5 s unless told. */
  readonly changesWaitMs?: number;
}

const postponeMs = 5_000;
/** A write of which nobody knows what became of it is looked for during this time. */
const unknownLimitMs = 10_000;
const listBatch = 500;

/** Opens the shared store. Connects in the background: until it is there, calls end in `cmdb_unavailable`. */
export function openRedisCmdb(options: RedisCmdbOptions): Cmdb {
  return new RedisCmdb(options);
}

class RedisCmdb implements Cmdb {
  readonly #options: RedisCmdbOptions;
  readonly #keys: Keys;
  readonly #link: Link;
  readonly #log: ChangeLog;

  constructor(options: RedisCmdbOptions) {
    this.#options = options;
    this.#keys = new Keys(options.name);
    const timeLimitMs = options.timeLimitMs ?? 2_000;
    const connection = { ...options, timeLimitMs };
    this.#link = new Link(connect(connection), options.logger, timeLimitMs);
    this.#log = new ChangeLog({
      link: this.#link,
      key: this.#keys.changes,
      length: options.logLength ?? 10_000,
      waitMs: options.changesWaitMs ?? 5_000,
      connect: () => connect(connection, { commandTimeout: undefined as never }),
    });
  }

  async apply(change: Parameters<Cmdb['apply']>[0]): Promise<DomainConflict[]> {
    return applyApps(change, {
      link: this.#link,
      keys: this.#keys,
      read: (names) => this.#readAll(names),
      append: (app) => this.#log.entry({ app }),
    });
  }

  async find(query: Parameters<Cmdb['find']>[0]): Promise<AppRecord | undefined> {
    if ('app' in query) return recordOf(await this.#read(query.app));
    const claims = [query.domain, query.domain.replace(/^[^.]*/, '*')];
    const names = (await this.#link.all(claims.map((claim) => ['get', this.#keys.domain(claim)]))) as (string | null)[];
    for (const [index, claim] of claims.entries()) {
      const name = names[index];
      const record = name ? recordOf(await this.#read(name)) : undefined;
      // A claim that its owner does not list any more leads nowhere, least of all to somebody else's container.
      if (record && !record.removed && record.app.domains.includes(claim)) return record;
    }
    return undefined;
  }

  async *list(which: 'all' | 'active'): AsyncIterable<AppRecord> {
    const names =
      which === 'all'
        ? ((await this.#link.one(['smembers', this.#keys.names])) as string[])
        : ((await this.#link.one(['zrange', this.#keys.schedule, '0', '-1'])) as string[]);
    for (let from = 0; from < names.length; from += listBatch) {
      for (const stored of await this.#readAll(names.slice(from, from + listBatch))) {
        const record = recordOf(stored);
        if (record && (which === 'all' || isActive(record))) yield record;
      }
    }
  }

  /** A failed write may have landed: its tokens tell, as long as nobody else wrote; then the change is idempotent by its ids. */
  async update(app: string, change: DeploymentChange): Promise<StoredDeployment> {
    const tokens = new Set<string>();
    let unknownSince: number | undefined;
    for (;;) {
      try {
        const stored = await this.#read(app);
        const current = stored.deployment;
        if (tokens.has(current.version)) return current;
        const deployment = change(current.deployment, stored.app?.app);
        if (deployment === current.deployment) return current;
        const next = { deployment, version: randomToken() };
        tokens.add(next.version);
        if (await this.#write(app, stored, next)) return next;
      } catch (error) {
        if (tokens.size === 0 || this.#link.isClosed) throw error;
        unknownSince ??= performance.now();
        if (performance.now() - unknownSince > unknownLimitMs) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch> {
    return this.#log.after(position, signal);
  }

  async due(now: number, limit: number): Promise<string[]> {
    const { schedule } = this.#keys;
    const range = (await this.#link.one([
      'zrangebyscore',
      schedule,
      '-inf',
      now,
      'WITHSCORES',
      'LIMIT',
      '0',
      limit,
    ])) as string[];
    const scores = new Map<string, string>();
    for (let index = 0; index < range.length; index += 2)
      scores.set(range[index] as string, range[index + 1] as string);
    const names = [...scores.keys()];
    const records = await this.#readAll(names);
    const taken: string[] = [];
    for (const [index, name] of names.entries()) {
      const seen = scores.get(name) as string;
      const stored = records[index] as Stored;
      const at = nextDueAt(stored.deployment.deployment, stored.app?.app);
      const isDue = at !== undefined && (at <= now || stored.app?.removed === true);
      if (isDue) {
        if ((await this.#link.one(['fcTake', schedule, name, seen, now + postponeMs])) === 1) taken.push(name);
      } else await this.#postpone(name, seen, at);
    }
    return taken;
  }

  async beat(session: Session, revoke: readonly string[] = []): Promise<Beat> {
    const { sessions, nonce } = this.#keys;
    const first = session.beats === 0 ? '1' : '0';
    await this.#link.one(['set', nonce, randomToken(), 'NX']);
    const [life, found, answer] = await this.#link.all([
      ['get', nonce],
      ['info', 'server'],
      ['fcBeat', sessions, session.incarnation, JSON.stringify(session), first, ...revoke],
    ]);
    const [revoked, flat] = answer as [number, string[]];
    const all: Session[] = [];
    for (let index = 0; index < flat.length; index += 2)
      all.push(...this.#session(flat[index] as string, flat[index + 1] as string));
    // A cluster has no one process: the nonce alone tells whether it is the same.
    const run = this.#link.isCluster ? '' : (/run_id:(\w+)/.exec(String(found))?.[1] ?? '');
    return { identity: `${String(life)}.${run}`, sessions: all, revoked: revoked === 1 };
  }

  async close(): Promise<void> {
    this.#log.close();
    this.#link.close();
  }

  /** The schedule is moved earlier before the document is written, and once more after it; a lost race leaves a harmless early entry. */
  async #write(app: string, stored: Stored, next: StoredDeployment): Promise<boolean> {
    const { schedule } = this.#keys;
    const key = this.#keys.deployment(app);
    const { version } = stored.deployment;
    // A record that cannot be read, of a newer version perhaps, is not this program's to delete.
    const isGone = stored.appText === undefined || stored.app?.removed === true;
    if (next.deployment.instances.length === 0 && isGone) {
      const dropped = await this.#link.one(['fcDrop', key, this.#keys.app(app), version, stored.appText ?? '']);
      if (dropped === 1)
        await this.#link.all([['srem', this.#keys.names, app], this.#log.entry({ app, version: next.version })]);
      return dropped === 1;
    }
    const at = nextDueAt(next.deployment, stored.app?.app);
    const earlier = at === undefined ? [] : [['zadd', schedule, 'LT', at, app]];
    const [...results] = await this.#link.all([
      ...earlier,
      ['fcSwap', key, version, next.version, encodeDeployment(next)],
      ...earlier,
      this.#log.entry({ app, version: next.version }),
    ]);
    return results[earlier.length] === 1;
  }

  /** The entry is earlier than the document asks for. Whoever moved the document's deadline meanwhile is not lost. */
  async #postpone(app: string, seen: string, at: number | undefined): Promise<void> {
    const { schedule } = this.#keys;
    if (at === undefined) await this.#link.one(['fcUnschedule', schedule, app, seen]);
    else await this.#link.one(['fcTake', schedule, app, seen, at]);
    const stored = await this.#read(app);
    const now = nextDueAt(stored.deployment.deployment, stored.app?.app);
    if (now !== undefined) await this.#link.one(['zadd', schedule, 'LT', now, app]);
  }

  async #read(name: string): Promise<Stored> {
    return (await this.#readAll([name]))[0] as Stored;
  }

  async #readAll(names: readonly string[]): Promise<Stored[]> {
    const answers = await this.#link.all(
      names.flatMap((name) => [
        ['get', this.#keys.app(name)],
        ['hmget', this.#keys.deployment(name), 'version', 'record'],
      ]),
    );
    return names.map((name, index) => {
      const appText = (answers[2 * index] as string | null) ?? undefined;
      const [version, record] = answers[2 * index + 1] as [string | null, string | null];
      return { app: this.#app(name, appText), appText, deployment: this.#deployment(name, version ?? '', record) };
    });
  }

  #app(name: string, text: string | undefined): StoredApp | undefined {
    return text === undefined ? undefined : this.#decode(`app ${name}`, () => decodeApp(text));
  }

  /** One that cannot be read counts as empty; its version is known all the same, so that it can be written over. */
  #deployment(name: string, version: string, text: string | null): StoredDeployment {
    const stored = text === null ? undefined : this.#decode(`deployment ${name}`, () => decodeDeployment(text));
    return { version, deployment: stored?.deployment ?? emptyDeployment(name) };
  }

  #session(incarnation: string, text: string): Session[] {
    const session = this.#decode(`session ${incarnation}`, () => JSON.parse(text) as Session);
    return session?.incarnation === incarnation ? [session] : [];
  }

  #decode<T>(record: string, decode: () => T): T | undefined {
    try {
      return decode();
    } catch (error) {
      this.#options.onUnreadable(record, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }
}

function recordOf({ app, deployment }: Stored): AppRecord | undefined {
  return app && { ...app, ...deployment };
}

function isActive({ app, removed, deployment }: AppRecord): boolean {
  return deployment.instances.length > 0 || (!removed && nextDueAt(deployment, app) !== undefined);
}

function randomToken(): string {
  return randomBytes(12).toString('base64url');
}

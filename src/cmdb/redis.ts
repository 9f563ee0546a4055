import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type {
  AppChange,
  AppRecord,
  Beat,
  ChangeBatch,
  Cmdb,
  DeploymentChange,
  DomainConflict,
  Session,
  UnreadableReport,
} from './cmdb.js';
import { isActive } from './active.js';
import { batches } from './batches.js';
import { checkAppKeys, checkKey, isKey } from './key-limits.js';
import { normalChange } from './normal-change.js';
import type { StoredDeployment } from './record-format.js';
import { applyApps } from './redis/apply.js';
import { ChangeLog } from './redis/change-log.js';
import { claimantOf } from './redis/claim.js';
import { connect, type ConnectOptions } from './redis/connect.js';
import { Keys } from './redis/keys.js';
import { Link } from './redis/link.js';
import { recordOf, Records } from './redis/records.js';
import { Sessions } from './redis/sessions.js';
import { takeDue } from './redis/take-due.js';
import { DeploymentWriter } from './redis/write-deployment.js';

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

/** How often, and after what pause in milliseconds, a claim in transition is looked at again. */
const transition = { looks: 4, pauseMs: 25 };
const listBatch = 500;

/** Opens the shared store. Connects in the background: until it is there, calls end in `cmdb_unavailable`. */
export function openRedisCmdb(options: RedisCmdbOptions): Cmdb {
  return new RedisCmdb(options);
}

class RedisCmdb implements Cmdb {
  readonly #keys: Keys;
  readonly #link: Link;
  readonly #records: Records;
  readonly #log: ChangeLog;
  readonly #sessions: Sessions;
  readonly #writer: DeploymentWriter;

  constructor(options: RedisCmdbOptions) {
    this.#keys = new Keys(options.name);
    const timeLimitMs = options.timeLimitMs ?? 2_000;
    const connection = { ...options, timeLimitMs };
    const waitMs = options.changesWaitMs ?? 5_000;
    this.#link = new Link(connect(connection), options.logger, timeLimitMs);
    this.#records = new Records(this.#link, this.#keys, options.onUnreadable);
    this.#log = new ChangeLog({
      link: this.#link,
      key: this.#keys.changes,
      nonceKey: this.#keys.nonce,
      length: options.logLength ?? 10_000,
      waitMs,
      timeLimitMs,
      // A read that waits is silent for as long as it waits.
      connect: () => connect(connection, { commandTimeout: undefined as never, socketTimeout: waitMs + timeLimitMs }),
    });
    const parts = { link: this.#link, keys: this.#keys, records: this.#records };
    this.#sessions = new Sessions({ ...parts, logger: options.logger });
    this.#writer = new DeploymentWriter({ ...parts, log: this.#log });
  }

  async apply(change: AppChange): Promise<DomainConflict[]> {
    const { put, remove } = normalChange(change);
    for (const app of put) checkAppKeys(app);
    return applyApps(put, remove.filter(isKey), {
      link: this.#link,
      keys: this.#keys,
      records: this.#records,
      origins: change.origins ?? new Map(),
      append: (app) => this.#log.entry({ app }),
      touched: new Set(),
    });
  }

  async find(query: Parameters<Cmdb['find']>[0]): Promise<AppRecord | undefined> {
    if ('app' in query) return isKey(query.app) ? recordOf(await this.#records.one(query.app)) : undefined;
    const claims = [query.domain, query.domain.replace(/^[^.]*/, '*')].filter(isKey);
    for (let look = 1; ; look += 1) {
      const found = await this.#lookUp(claims, look < transition.looks);
      if (found !== 'in transition') return found;
      await sleep(transition.pauseMs);
    }
  }

  async *list(which: 'all' | 'active'): AsyncIterable<AppRecord> {
    const names =
      which === 'all'
        ? ((await this.#link.one(['smembers', this.#keys.names])) as string[])
        : ((await this.#link.one(['zrange', this.#keys.schedule, '0', '-1'])) as string[]);
    for (const some of batches(names, listBatch)) {
      for (const stored of await this.#records.all(some)) {
        const record = recordOf(stored);
        if (record && (which === 'all' || isActive(record))) yield record;
      }
    }
  }

  async update(app: string, change: DeploymentChange): Promise<StoredDeployment> {
    checkKey('app', app);
    return this.#writer.update(app, change);
  }

  changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch> {
    return this.#log.after(position, signal);
  }

  due(now: number, limit: number): Promise<string[]> {
    return takeDue({ link: this.#link, keys: this.#keys, records: this.#records }, now, limit);
  }

  async beat(session: Session, revoke: readonly string[] = []): Promise<Beat> {
    for (const incarnation of [session.incarnation, ...revoke]) checkKey('session', incarnation);
    return this.#sessions.beat(session, revoke);
  }

  async close(): Promise<void> {
    this.#log.close();
    this.#link.close();
  }

  /** The record of the first claim that counts. One whose owner cannot be read leads nowhere, also not to a wildcard. */
  async #lookUp(claims: readonly string[], mayWait: boolean): Promise<AppRecord | 'in transition' | undefined> {
    const values = await this.#records.claims(claims);
    for (const [index, claim] of claims.entries()) {
      const name = claimantOf(values[index]);
      if (name === undefined) continue;
      const stored = await this.#records.one(name);
      const record = recordOf(stored);
      if (stored.appText !== undefined && !record) return undefined;
      if (!record || record.removed) continue;
      if (record.app.domains.includes(claim)) return record;
      // A domain that changes hands belongs to nobody for a moment, least of all to the wildcard above it.
      if (mayWait) return 'in transition';
    }
    return undefined;
  }
}

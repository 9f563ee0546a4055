import type { Logger } from 'pino';
import type { Beat, ChangeBatch, Cmdb, LedgerQuery, Session, UnreadableReport } from './cmdb.js';
import type { Day } from '../model/usage.js';
import { createCmdb } from './document-cmdb.js';
import { type DocumentStore, type Documents, postponeMs, type StoredEntries, type Wanted } from './documents.js';
import { RecordFormat } from './record-format.js';
import { RecordReader } from './record-reader.js';
import type { RecordSigner } from './record-signer.js';
import { ChangeLog } from './redis/change-log.js';
import { numberOf } from './redis/commit.js';
import { connect, type ConnectOptions } from './redis/connect.js';
import { Keys } from './redis/keys.js';
import { readLedger } from './redis/ledger.js';
import { Link } from './redis/link.js';
import { Sessions } from './redis/sessions.js';
import { Transactions } from './redis/transactions.js';

export interface RedisCmdbOptions extends Omit<ConnectOptions, 'timeLimitMs'> {
  /** Prefix of all keys. */
  readonly name: string;
  readonly signer: RecordSigner;
  readonly logger: Logger;
  readonly onUnreadable: UnreadableReport;
  /** Limit of each command, in milliseconds; 2 s by default. */
  readonly timeLimitMs?: number;
  /** Approximate number of changes that the log holds, and of events of all apps in the ledger; 10,000 by default. */
  readonly logLength?: number;
  /** Longest wait of `changes`, in milliseconds; 5 s by default. */
  readonly changesWaitMs?: number;
  /** For how many days usage is kept; 62 by default. */
  readonly usageDays?: number;
  /** The time in epoch milliseconds; of the system by default. */
  readonly now?: () => number;
}

/** Opens the shared store. Connects in the background: until then, calls throw `cmdb_unavailable`. */
export function openRedisCmdb(options: RedisCmdbOptions): Cmdb {
  const reader = new RecordReader(new RecordFormat(options.signer), options.onUnreadable);
  return createCmdb(new RedisStore(options, reader), reader, options);
}

class RedisStore implements DocumentStore {
  /** Bounded, as a transaction compares every document that it read: a small one loses fewer races and blocks the server less. */
  readonly batch = { read: 500, write: 250 };
  readonly #keys: Keys;
  readonly #link: Link;
  readonly #transactions: Transactions;
  readonly #log: ChangeLog;
  readonly #sessions: Sessions;

  constructor({ name, logger, signer, ...options }: RedisCmdbOptions, reader: RecordReader) {
    this.#keys = new Keys(name);
    const { timeLimitMs = 2_000, changesWaitMs: waitMs = 5_000, logLength = 10_000 } = options;
    const { usageDays = 62, now = Date.now } = options;
    const connection = { ...options, timeLimitMs };
    this.#link = new Link(connect(connection), logger, timeLimitMs);
    const parts = { link: this.#link, keys: this.#keys };
    const limits = () => ({ logLength, usageDays, now: now() });
    this.#transactions = new Transactions({ ...parts, limits });
    this.#log = new ChangeLog({
      link: this.#link,
      key: this.#keys.changes,
      nonceKey: this.#keys.nonce,
      length: logLength,
      waitMs,
      timeLimitMs,
      // Nothing comes while a blocking read waits.
      connect: () => connect(connection, { commandTimeout: undefined as never, socketTimeout: waitMs + timeLimitMs }),
    });
    this.#sessions = new Sessions({ ...parts, logger, reader, keyId: signer.keyId });
  }

  view<T>(wanted: readonly Wanted[], read: (documents: Documents) => T): Promise<T> {
    return this.#transactions.view(wanted, read);
  }

  write<T>(wanted: readonly Wanted[], write: (documents: Documents) => T): Promise<T> {
    return this.#transactions.write(wanted, write);
  }

  async names(which: 'all' | 'scheduled'): Promise<readonly string[]> {
    const command = which === 'all' ? ['smembers', this.#keys.names] : ['zrange', this.#keys.schedule, '0', '-1'];
    return (await this.#link.one(command)) as string[];
  }

  async usersSince(day: Day): Promise<readonly string[]> {
    return (await this.#link.one(['zrangebyscore', this.#keys.users, numberOf(day), '+inf'])) as string[];
  }

  async due(now: number, limit: number): Promise<string[]> {
    return (await this.#link.one(['fcDue', this.#keys.schedule, now, now + postponeMs, limit])) as string[];
  }

  changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch> {
    return this.#log.after(position, signal);
  }

  entries({ app, ...query }: LedgerQuery): Promise<StoredEntries> {
    return readLedger(this.#link, app === undefined ? this.#keys.ledger : this.#keys.ledgerOf(app), query);
  }

  beat(session: Session, revoke: readonly string[]): Promise<Beat> {
    return this.#sessions.beat(session, revoke);
  }

  async close(): Promise<void> {
    this.#log.close();
    this.#link.close();
  }
}

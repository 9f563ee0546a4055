import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { RequestError } from '../model/errors.js';
import { type Day, oldestDay } from '../model/usage.js';
import { makePrivateDirectory } from '../machine/private-directory.js';
import type { Beat, ChangeBatch, Cmdb, LedgerQuery, Session, UnreadableReport } from './cmdb.js';
import { createCmdb } from './document-cmdb.js';
import { type DocumentStore, type Documents, postponeMs, type StoredEntries, type Wanted } from './documents.js';
import { Draft } from './draft.js';
import { Bell, bellFile } from './lmdb/bell.js';
import { ChangeTable } from './lmdb/change-log.js';
import { LedgerTable } from './lmdb/ledger.js';
import { outcomeOf, valueOf } from './lmdb/outcome.js';
import { Tables } from './lmdb/tables.js';
import { fromStore, Transactions } from './lmdb/transactions.js';
import { RecordFormat } from './record-format.js';
import { RecordReader } from './record-reader.js';
import type { RecordSigner } from './record-signer.js';
import { encodeSession } from './session-format.js';
import { signedElsewhere } from './signed-elsewhere.js';

export interface LmdbCmdbOptions {
  /** Directory of the store; made if it is missing. */
  readonly path: string;
  readonly signer: RecordSigner;
  readonly onUnreadable: UnreadableReport;
  /** Changes that the log holds, and events of all apps in the ledger; 10,000 by default. A reader further behind gets a gap. */
  readonly logLength?: number;
  /** Longest wait of `changes`, in milliseconds; 5 s by default. */
  readonly changesWaitMs?: number;
  /** Limit of each write, in milliseconds; 2 s by default. */
  readonly timeLimitMs?: number;
  /** For how many days usage is kept; 62 by default. */
  readonly usageDays?: number;
  /** The time in epoch milliseconds; of the system by default. */
  readonly now?: () => number;
}

const ownerOnly = 0o600;
/** More than there are: a table beyond it cannot be opened. */
const mostTables = 32;
/** Where the id of the key is stored that records are signed with. */
const keyOfKey = 'signing-key';

/**
 * Opens the embedded store for the processes of one machine. Every write is one LMDB transaction, so that no outcome is unknown; a
 * large `apply` takes several. Throws an Error that names the path if the store cannot be opened.
 *
 * A change to an app resolves when it is on disk; one to a deployment or a session when every process can read it, and is flushed later.
 */
export function openLmdbCmdb(options: LmdbCmdbOptions): Cmdb {
  try {
    makePrivateDirectory(options.path);
    const root = openRoot(options.path);
    const problem = keyProblem(root.get(keyOfKey), options);
    if (problem !== undefined) {
      void root.close();
      throw new Error(problem);
    }
    const reader = new RecordReader(new RecordFormat(options.signer), options.onUnreadable);
    return createCmdb(new LmdbStore(root, options, reader), reader, options);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot open the CMDB in ${options.path}: ${why}; fix the directory or change cmdb`, {
      cause: error,
    });
  }
}

/** Only the daemon may read its files, including those that an older version made. */
function openRoot(path: string): RootDatabase<string, string> {
  const permissions: object = { permissionsMode: ownerOnly };
  const root = open<string, string>({ path, maxDbs: mostTables, encoding: 'string', ...permissions });
  for (const name of ['data.mdb', 'lock.mdb', bellFile]) {
    const file = join(path, name);
    if (existsSync(file)) chmodSync(file, ownerOnly);
  }
  return root;
}

function keyProblem(theirs: string | undefined, { path, signer }: LmdbCmdbOptions): string | undefined {
  if (theirs === undefined || theirs === signer.keyId) return undefined;
  const remedy = `without that key, move ${path} away: apps are read from their files again, and running instances are found again`;
  return signedElsewhere(theirs, signer.keyId, remedy);
}

class LmdbStore implements DocumentStore {
  /** Small, as this store is read and written on the event loop: requests go on between two batches. */
  readonly batch = { read: 50, write: 25 };
  readonly #options: LmdbCmdbOptions;
  readonly #root: RootDatabase<string, string>;
  readonly #transactions: Transactions;
  readonly #tables: Tables;
  readonly #log: ChangeTable;
  readonly #ledger: LedgerTable;
  readonly #sessions: Database<string, string>;
  readonly #bell: Bell;
  readonly #reader: RecordReader;
  readonly #closing = new AbortController();

  constructor(root: RootDatabase<string, string>, options: LmdbCmdbOptions, reader: RecordReader) {
    this.#options = options;
    this.#reader = reader;
    this.#root = root;
    this.#transactions = new Transactions(root, options.timeLimitMs ?? 2_000);
    const { logLength = 10_000 } = options;
    this.#log = new ChangeTable(root, logLength);
    this.#ledger = new LedgerTable(root, logLength);
    this.#tables = new Tables(root);
    this.#sessions = root.openDB<string, string>({ name: 'sessions', encoding: 'string' });
    this.#bell = new Bell(options.path);
  }

  async view<T>(_wanted: readonly Wanted[], read: (documents: Documents) => T): Promise<T> {
    // An error of the caller's is not the store's.
    return valueOf(this.#transactions.read(() => outcomeOf(() => read(this.#draft()))));
  }

  async write<T>(
    _wanted: readonly Wanted[],
    write: (documents: Documents) => T,
    { isLast } = { isLast: true },
  ): Promise<T> {
    const { draft, outcome } = await this.#transactions.write(
      () => {
        const draft = this.#draft();
        const outcome = outcomeOf(() => write(draft));
        if ('value' in outcome) {
          const { now = Date.now, usageDays = 62 } = this.#options;
          this.#tables.write(draft, oldestDay(now(), usageDays));
          for (const change of draft.changes) this.#log.append(change);
          this.#ledger.write(draft, Date.now());
        }
        return { draft, outcome };
      },
      // Apps and domains must survive a power cut, which ends the instances and nodes that other records describe. Only the last of
      // several writes waits for the disk, as LMDB flushes in order. An empty draft makes no transaction that could be seen.
      ({ draft }) => draft.isEmpty || (isLast && [...draft.writes].some(({ table }) => table !== 'deployment')),
    );
    const value = valueOf(outcome);
    // The writer goes on first: following a change takes as long as writing it.
    if (draft.changes.length > 0) setImmediate(() => this.#bell.ring());
    return value;
  }

  async names(which: 'all' | 'scheduled'): Promise<readonly string[]> {
    return this.#transactions.read(() => (which === 'all' ? this.#tables.apps() : this.#tables.scheduled()));
  }

  async changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch> {
    const until = AbortSignal.any([
      signal,
      this.#closing.signal,
      AbortSignal.timeout(this.#options.changesWaitMs ?? 5_000),
    ]);
    const known = this.#transactions.read(() => this.#root.get('identity'));
    const store = known ?? (await this.#transactions.write(() => this.#identity()));
    for (;;) {
      const ring = this.#bell.next(until);
      const batch = this.#transactions.read(() => this.#log.after(position, store));
      if (position === undefined || batch.gap || batch.changes.length > 0 || until.aborted) {
        ring.cancel();
        return batch;
      }
      await ring.rung;
    }
  }

  async entries(query: LedgerQuery): Promise<StoredEntries> {
    return this.#transactions.read(() => this.#ledger.read(query));
  }

  async usersSince(day: Day): Promise<readonly string[]> {
    return this.#transactions.read(() => this.#tables.usersSince(day));
  }

  async due(now: number, limit: number): Promise<string[]> {
    if (this.#transactions.read(() => this.#tables.due(now, 1)).length === 0) return [];
    return this.#transactions.write(() => {
      const names = this.#tables.due(now, limit);
      for (const name of names) this.#tables.schedule(name, now + postponeMs);
      return names;
    });
  }

  async beat(session: Session, revoke: readonly string[]): Promise<Beat> {
    const beat = await this.#transactions.write(() => {
      const problem = this.#keyProblem();
      if (problem !== undefined) return problem;
      const revoked = session.beats > 0 && this.#sessions.get(session.incarnation) === undefined;
      if (!revoked) void this.#sessions.put(session.incarnation, encodeSession(session));
      for (const incarnation of revoke) void this.#sessions.remove(incarnation);
      const stored = [...this.#sessions.getRange()];
      return { identity: `${this.#identity()}.${this.#options.signer.keyId}`, stored, revoked };
    });
    if (typeof beat === 'string') throw new RequestError('cmdb_unavailable', beat);
    const { stored, ...rest } = beat;
    return { ...rest, sessions: stored.flatMap(({ key, value }) => this.#reader.session(key, value) ?? []) };
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#bell.close();
    await this.#transactions.close();
  }

  #draft(): Draft {
    return new Draft((table, name) => fromStore(() => this.#tables.get(table, name)));
  }

  #keyProblem(): string | undefined {
    const theirs = this.#root.get(keyOfKey);
    if (theirs === undefined) void this.#root.put(keyOfKey, this.#options.signer.keyId);
    return keyProblem(theirs, this.#options);
  }

  #identity(): string {
    const known = this.#root.get('identity');
    if (known !== undefined) return known;
    const identity = randomBytes(12).toString('base64url');
    void this.#root.put('identity', identity);
    return identity;
  }
}

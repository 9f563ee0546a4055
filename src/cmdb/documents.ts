import type { Beat, Change, ChangeBatch, LedgerQuery, Session } from './cmdb.js';
import type { Day, Use } from '../model/usage.js';

/**
 * What a CMDB holds as text: apps and deployments by app name, the claiming app's name by domain, the apps that a machine's files hold
 * by host, what is sealed by its name, and usage by `rowName`.
 */
export type Table = 'app' | 'deployment' | 'domain' | 'files' | 'sealed' | 'usage';

/** The documents as one transaction sees them: a snapshot of one moment, and its own writes. */
export interface Documents {
  get(table: Table, name: string): string | undefined;
  /** Undefined removes the document. */
  set(table: Table, name: string, text: string | undefined): void;
  /** When the app is due, in epoch milliseconds; undefined takes it off the schedule. */
  schedule(app: string, at: number | undefined): void;
  /** Makes the app due at `at` if that is sooner than now scheduled, or at once if it is not scheduled. */
  scheduleBy(app: string, at: number): void;
  append(change: Change): void;
  /** Adds an entry of an app to the ledger. If the same transaction removes the app, only to that of all apps. */
  enter(app: string, entry: string): void;
  /** Adds to the app's row of the day, which no transaction has to read for that. Rows are kept for as long as the store is told. */
  use(use: Use): void;
}

/** Entries of the ledger with their ids. */
export interface StoredEntries {
  readonly entries: readonly { readonly id: string; readonly text: string }[];
  readonly gap: boolean;
}

/** How many entries the ledger keeps of each app; of all apps together as many as the change log has changes. */
export const entriesPerApp = 100;

/** An id that every entry follows. */
export const ledgerStart = '0-0';

/** How long an app that was handed out as due is postponed; a write may move it. */
export const postponeMs = 5_000;

/** A document that a transaction is known to read; a remote store fetches all of them at once. */
export type Wanted = readonly [Table, string];

/** What one technology provides for the CMDB: transactions over documents, a schedule, a change log, sessions. See `Cmdb` for errors. */
export interface DocumentStore {
  /** The most apps that one transaction writes, or one view reads. */
  readonly batch: { readonly write: number; readonly read: number };

  /** Runs `read`, possibly more than once; the last run sees a snapshot of one moment. */
  view<T>(wanted: readonly Wanted[], read: (documents: Documents) => T): Promise<T>;

  /**
   * Runs `write`, possibly more than once, and stores all that the last run wrote, or nothing. Passes on what `write` throws; nothing
   * is stored then. A write that is not the last of its change may resolve before it is on disk: the last one flushes it, too.
   */
  write<T>(
    wanted: readonly Wanted[],
    write: (documents: Documents) => T,
    options?: { readonly isLast: boolean },
  ): Promise<T>;

  /** Names of all apps, or of those on the schedule. */
  names(which: 'all' | 'scheduled'): Promise<readonly string[]>;

  /** Names of apps that have a row of this day or a later one. */
  usersSince(day: Day): Promise<readonly string[]>;

  due(now: number, limit: number): Promise<string[]>;
  changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch>;
  /** See Cmdb.ledger. What an app had is gone with its record. */
  entries(query: LedgerQuery): Promise<StoredEntries>;
  beat(session: Session, revoke: readonly string[]): Promise<Beat>;
  close(): Promise<void>;
}

import type { Beat, Change, ChangeBatch, Session } from './cmdb.js';

/**
 * What a CMDB holds as text: apps and deployments by the app's name, for each domain the name of the app that claims it, and for
 * each machine which apps its files hold.
 */
export type Table = 'app' | 'deployment' | 'domain' | 'files';

/** The documents as one transaction sees them: of one moment, with what it has written itself. */
export interface Documents {
  get(table: Table, name: string): string | undefined;
  /** Undefined removes the document. */
  set(table: Table, name: string, text: string | undefined): void;
  /** When the app is due, in epoch milliseconds; undefined takes it off the schedule. */
  schedule(app: string, at: number | undefined): void;
  /** The app stays due when it is, or becomes so at `at` if that is sooner; at once if it was not due at all. */
  scheduleBy(app: string, at: number): void;
  append(change: Change): void;
}

/** An app that was handed out as due is due again after this time, unless a write moves it. */
export const postponeMs = 5_000;

/** A document that a transaction is known to read; a store that is far away fetches all of them at once. */
export type Wanted = readonly [Table, string];

/** Transactions over documents, a schedule, a change log and sessions: what one technology does for the CMDB. See `Cmdb` for limits and errors. */
export interface DocumentStore {
  /** Apps that one transaction writes, or that one look reads, at most. */
  readonly batch: { readonly write: number; readonly read: number };

  /** Runs `read`, possibly more than once; what the last run returns is of one moment. */
  view<T>(wanted: readonly Wanted[], read: (documents: Documents) => T): Promise<T>;

  /**
   * Runs `write`, possibly more than once: all that the last run wrote stands when the call resolves, or nothing. What
   * `write` throws is passed on, and nothing is written. Another write of the same change follows if it is not the last: then it
   * may resolve before it is on disk, where the last one takes it.
   */
  write<T>(
    wanted: readonly Wanted[],
    write: (documents: Documents) => T,
    options?: { readonly isLast: boolean },
  ): Promise<T>;

  /** Names of all apps, or of those on the schedule. */
  names(which: 'all' | 'scheduled'): Promise<readonly string[]>;

  due(now: number, limit: number): Promise<string[]>;
  changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch>;
  beat(session: Session, revoke: readonly string[]): Promise<Beat>;
  close(): Promise<void>;
}

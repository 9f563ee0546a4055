import type { App } from '../model/app.js';
import type { Deployment } from '../model/deployment.js';
import type { RuntimeIdentity } from '../model/instance.js';
import type { LedgerEvent } from '../model/ledger/event.js';
import type { Note } from '../model/ledger/facts.js';
import type { Day, UsageRow } from '../model/usage.js';

/** An app with its deployment as of `version`. */
export interface AppRecord {
  readonly app: App;
  /** Its file or entry is gone: no domain leads to it, its instances drain, then the record is deleted. */
  readonly removed: boolean;
  /** The file that it came from; absent if it came from none, or is removed. */
  readonly origin?: AppOrigin;
  readonly deployment: Deployment;
  /** Random token of the deployment; another token means another document. '' if none was ever written. */
  readonly version: string;
}

/** The machine whose file or API an app's content came from, and since when it has been so there, in epoch milliseconds. */
export interface AppOrigin {
  readonly host: string;
  readonly since: number;
  /** Path of the customer's file; absent for an operator's. */
  readonly customer?: string;
  /** Present if it was put by API: then no file replaces or removes it. */
  readonly api?: ApiOrigin;
}

export interface ApiOrigin {
  /** Name of the token that it was put with. */
  readonly by: string;
  /** The app as it was written, without what plan and defaults add. */
  readonly written: Readonly<Record<string, unknown>>;
}

export interface PutOrigin extends AppOrigin {
  /** The file changed just now: its content replaces what is stored, whatever the clocks say. Otherwise the newer one stays. */
  readonly changed: boolean;
}

/** What `Cmdb.apply` stores and removes. */
export interface AppChange {
  readonly put: readonly App[];
  readonly remove: readonly string[];
  /** By app name, for apps that come from files. An app without an origin is put or removed whatever is stored. */
  readonly origins?: ReadonlyMap<string, PutOrigin>;
  /** For a change that comes from files: apps that another machine's files hold are not removed. */
  readonly files?: MachineFiles;
}

export interface MachineFiles {
  /** The machine whose files these are. */
  readonly host: string;
  /** All apps that they hold, including `put`; absent if they are the same as last time. */
  readonly apps?: readonly string[];
  /** The other live machines, whose files count. */
  readonly others: readonly string[];
}

/** A domain that another app owns; the app that wanted it was not stored. */
export interface DomainConflict {
  readonly domain: string;
  readonly wantedBy: string;
  readonly ownedBy: string;
}

/** A file names an app that was put by API, or a customer's file one that is not that customer's; the file was not applied. */
export interface NameConflict {
  readonly wantedBy: string;
  /** The machine that the app came from; absent if it came from no file and not by API. */
  readonly heldBy?: string | undefined;
  /** Name of the token that the app was put with; absent if it was not put by API. */
  readonly putBy?: string;
}

export type Conflict = DomainConflict | NameConflict;

/** An app's record as an edit finds it. */
export type FoundApp = AppRecord | 'unreadable' | undefined;

/** What an edit makes of an app. */
export type AppEdit = 'keep' | 'remove' | { readonly app: App; readonly origin: AppOrigin };

export interface Edited<Edit extends AppEdit = AppEdit> {
  readonly before: FoundApp;
  /** What was stored, unless there are conflicts. */
  readonly edit: Edit;
  readonly conflicts: readonly DomainConflict[];
}

/** A node's liveness: membership/peers.ts judges by `beats`, which counts up. */
export interface Session {
  /** Random token of this life of the node: it changes with a restart, or after too long a sleep. */
  readonly incarnation: string;
  readonly host: string;
  readonly beats: number;
  readonly process: SessionProcess;
  /** Identities of its runtimes, by name; unknown if absent. */
  readonly runtimes?: Readonly<Record<string, RuntimeIdentity>>;
}

/** Proof of life for nodes on the same machine. Fields are '' if the system does not tell. */
export interface SessionProcess {
  readonly pid: number;
  readonly startTime: string;
  /** Boot id of the machine. */
  readonly bootId: string;
  /** The namespace of the pid, which differs between containers; absent if unknown. */
  readonly pidNamespace?: string;
}

export interface Beat {
  /** Names this life of the store: it changes after a failover, or a restart with other data. */
  readonly identity: string;
  /** All sessions, including this one. */
  readonly sessions: readonly Session[];
  /** True if another node revoked this session, which must not be used from then on. */
  readonly revoked: boolean;
}

export interface Change {
  readonly app: string;
  /** The deployment's version after the change; undefined if the app's own record changed. */
  readonly version?: string;
  /** Machines whose own nodes have something to do at once; none if absent. */
  readonly hosts?: readonly string[];
}

export interface ChangeBatch {
  /** The position to go on from. */
  readonly position: string;
  readonly changes: readonly Change[];
  /** The log no longer reaches back to the given position: drop what is cached. */
  readonly gap: boolean;
}

/** Changes a deployment; the same object means no change. Must be pure, as it runs again after a lost race. */
export type DeploymentChange = (current: Deployment, app: App | undefined) => Deployment;

/** What `Cmdb.update` read, and what is stored since. */
export interface Updated {
  /** What was given to the change that was stored. */
  readonly before: Deployment;
  readonly app: App | undefined;
  readonly deployment: Deployment;
  readonly version: string;
}

/** Which events of the ledger to read. */
export interface LedgerQuery {
  /** Only those of this app, of which more are kept. */
  readonly app?: string;
  /** Those that follow this id, the oldest first; without it the latest. An id that no store gives throws a RangeError. */
  readonly after?: string;
  readonly limit: number;
}

export interface LedgerPage {
  /** In their order. */
  readonly events: readonly LedgerEvent[];
  /** The place to go on from: the id of the last one, or where nothing follows yet. */
  readonly position: string;
  /** Some that followed `after` may have been dropped: the ledger no longer reaches back that far. */
  readonly gap: boolean;
}

/** An app's usage, and its record at the same moment, whose instances have yet to be counted. */
export interface AppUsage {
  readonly app: string;
  /** Undefined of an app that is gone. */
  readonly record: AppRecord | undefined;
  readonly days: ReadonlyMap<Day, UsageRow>;
}

/** Days from `from` to `to`, both included. */
export interface UsageQuery {
  readonly from: Day;
  readonly to: Day;
  /** Only this app. */
  readonly app?: string | undefined;
  /** Only apps whose names follow this one. */
  readonly after?: string | undefined;
}

/**
 * Reports that a record, given as kind and name, was skipped because of `problem`; undefined: it can be read again, or is gone.
 * `isForged`: its signature does not hold.
 */
export type UnreadableReport = (record: string, problem: string | undefined, isForged?: boolean) => void;

/**
 * The store that nodes share: versioned documents with compare-and-set, a resumable change log, a schedule and sessions.
 *
 * Every call has a time limit of 2 s and throws a RequestError `cmdb_unavailable` if it fails. A write whose outcome is unknown is
 * first read back, for at most 10 s. After a lost connection another store may answer: once `beat` was called on this handle, all
 * calls but `beat` and `changes` wait for the next beat, within the limit, which tells the store's identity.
 *
 * Names, domains and incarnations are keys of 1 to 255 bytes without control characters: writing under another one throws a
 * RangeError and changes nothing, and looking for one finds nothing. An unreadable record is reported and skipped.
 */
export interface Cmdb {
  /**
   * Stores apps and claims their domains; removes apps by name, even unreadable ones, but not those that the files of other machines
   * hold. What is stored already, with all its claims, costs no write.
   *
   * If another app owns one of an app's domains, nothing of that app changes and the result names the conflict. An app may take what
   * another one of the change gives up, even in a ring; of two that want the same free domain, the first gets it.
   *
   * Of machines that apply their files at once, the newest file wins, without a conflict. A customer's file replaces and removes only
   * what came from it or from its own machine; an operator's file also replaces what came from a customer's. No file replaces or
   * removes what was put by API.
   */
  apply(change: AppChange): Promise<Conflict[]>;

  /**
   * Puts or removes one app as `change` decides from its record, by compare-and-set. `change` must be pure, as it runs again after a
   * lost race; what it throws is passed on, and nothing is stored. `dryRun` stores nothing.
   */
  edit<Edit extends AppEdit>(
    app: string,
    change: (before: FoundApp) => Edit,
    options?: { readonly dryRun?: boolean },
  ): Promise<Edited<Edit>>;

  /**
   * Finds an app by exact domain, else by the wildcard one label up; or by its name, even if it is removed. A domain whose exact owner
   * cannot be read leads nowhere.
   */
  find(query: { readonly domain: string } | { readonly app: string }): Promise<AppRecord | undefined>;

  /**
   * All apps, or only those that have instances or need some by scale.min; in no order, or if `after` is given, those whose names
   * follow it, in the order of their names. Changes meanwhile may be seen or not.
   */
  list(which: 'all' | 'active', after?: string): AsyncIterable<AppRecord>;

  /**
   * Applies `change` to the app's deployment by compare-and-set, again until it is stored; resolves to what was read and what is
   * stored. Schedules the app at or before model/schedule.ts nextDueAt, appends to the change log, and notes in the ledger what the
   * change made true (model/ledger/), with what `note` knows of its cause: all of that is stored, or none.
   *
   * Deletes a removed app whose deployment is empty, but not an unreadable one. Instances without an app get a removed app of that
   * name, so that they drain.
   *
   * What the change adds to the app's usage (model/usage.ts usageOfChange) is stored in the same transaction.
   */
  update(app: string, change: DeploymentChange, note?: Note): Promise<Updated>;

  /**
   * Reads the ledger: the latest events of all apps, and of each app the latest of its own. Those of an app that was removed are in
   * the former only.
   */
  ledger(query: LedgerQuery): Promise<LedgerPage>;

  /**
   * Usage of apps that have rows in these days, or instances; in the order of their names. Rows and record are of one moment. Days
   * before those that are kept are not looked at.
   */
  usage(query: UsageQuery): AsyncIterable<AppUsage>;

  /**
   * Changes after `position`; undefined means from now on, and resolves to an empty batch at once. Otherwise waits for at least one
   * change; the batch is empty if the signal aborts or some seconds pass. Entries may repeat. A position of another store is a gap.
   */
  changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch>;

  /** Apps that are due at `now`, each handed to one caller and postponed by 5 s. Removed apps are due at once, until they are gone. */
  due(now: number, limit: number): Promise<string[]>;

  /** Writes this node's session, removes those in `revoke` (a node that leaves names its own), and returns all that are left. */
  beat(session: Session, revoke?: readonly string[]): Promise<Beat>;

  /**
   * A document that the caller has sealed, by name; undefined if there is none. The store adds neither secrecy nor proof: see
   * certify/seal.ts.
   */
  sealed(name: string): Promise<string | undefined>;

  /**
   * Changes a sealed document by compare-and-set; undefined removes it, the same text writes nothing. `change` must be pure, as it runs
   * again after a lost race; what it throws is passed on, and nothing is stored. Resolves to what is stored now.
   */
  changeSealed(name: string, change: (before: string | undefined) => string | undefined): Promise<string | undefined>;

  /** Closes connections and files, and rejects calls under way. Re-entrant. */
  close(): Promise<void>;
}

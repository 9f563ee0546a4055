import type { App } from '../model/app.js';
import type { Deployment } from '../model/deployment.js';
import type { RuntimeIdentity } from '../model/instance.js';

/** An app with its deployment as they stood at `version`. */
export interface AppRecord {
  readonly app: App;
  /** Its file or entry is gone: no domain leads here any more, its instances drain, then the record goes. */
  readonly removed: boolean;
  /** The file that it came from; absent where it came from none, or is removed. */
  readonly origin?: AppOrigin;
  readonly deployment: Deployment;
  /** Random token of the deployment; a different one means a different document. '' where none was ever written. */
  readonly version: string;
}

/** The machine whose file an app's content came from, and since when that machine has had this content, in epoch milliseconds. */
export interface AppOrigin {
  readonly host: string;
  readonly since: number;
  /** Path of the customer's file that it came from; absent for an operator's. */
  readonly customer?: string;
}

export interface PutOrigin extends AppOrigin {
  /** The content changed there just now: it replaces what is stored, whatever the clocks say. Else the newer one stays. */
  readonly changed: boolean;
}

/** What `Cmdb.apply` stores and removes. */
export interface AppChange {
  readonly put: readonly App[];
  readonly remove: readonly string[];
  /** By name of app, for what comes from files. What is put without one replaces what is stored, what is removed without one goes. */
  readonly origins?: ReadonlyMap<string, PutOrigin>;
  /** Of a change that comes from files: an app that those of another machine hold is not removed. */
  readonly files?: MachineFiles;
}

export interface MachineFiles {
  /** The machine whose files these are. */
  readonly host: string;
  /** All apps that they hold, `put` among them; absent: the same as last time. */
  readonly apps?: readonly string[];
  /** The other machines that count: those that live. */
  readonly others: readonly string[];
}

/** A domain that another app owns; the app that wanted it was not stored. */
export interface DomainConflict {
  readonly domain: string;
  readonly wantedBy: string;
  readonly ownedBy: string;
}

/** An app that a customer's file wants to be and that is not that customer's; the file was not taken. */
export interface NameConflict {
  readonly wantedBy: string;
  /** The machine whose file has the app; absent if it came from no file. */
  readonly heldBy?: string | undefined;
}

export type Conflict = DomainConflict | NameConflict;

/** A node's liveness. `beats` counts up; membership/peers.ts judges by it. */
export interface Session {
  /** Random token of this life of the node: a restarted process, or one that slept too long, has another. */
  readonly incarnation: string;
  readonly host: string;
  readonly beats: number;
  readonly process: SessionProcess;
  /** Identities of its runtimes, by name. Absent, or without a name: not known. */
  readonly runtimes?: Readonly<Record<string, RuntimeIdentity>>;
}

/** Proof of life for nodes on the same machine. Fields are '' where the system does not tell. */
export interface SessionProcess {
  readonly pid: number;
  readonly startTime: string;
  /** Boot id of the machine. */
  readonly bootId: string;
  /** In which the pid counts: another container has another one. Absent: unknown. */
  readonly pidNamespace?: string;
}

export interface Beat {
  /** Names this life of the store: another value after a restart with other data or a failover. */
  readonly identity: string;
  /** All sessions, this one included. */
  readonly sessions: readonly Session[];
  /** True where another node revoked this session: it must not be used any more. */
  readonly revoked: boolean;
}

export interface Change {
  readonly app: string;
  /** The deployment's version after the change; undefined where the app's own record changed. */
  readonly version?: string;
  /** Machines whose own nodes have something to do there at once; none where absent. */
  readonly hosts?: readonly string[];
}

export interface ChangeBatch {
  /** Where to go on. */
  readonly position: string;
  readonly changes: readonly Change[];
  /** The log no longer reaches back to the position asked for: drop what is cached. */
  readonly gap: boolean;
}

/** Changes a deployment; returning the same object means no change. Must be pure: it runs again after a lost race. */
export type DeploymentChange = (current: Deployment, app: App | undefined) => Deployment;

/** What `Cmdb.update` read, and what stands since. */
export interface Updated {
  /** What the change that stands was given. */
  readonly before: Deployment;
  readonly app: App | undefined;
  readonly deployment: Deployment;
  readonly version: string;
}

/**
 * The kind and name of a record, and what is wrong with it; it was skipped. Without a
 * problem: it can be read again, or is gone. Forged: nobody with the key has signed it, as it stands there. */
export type UnreadableReport = (record: string, problem: string | undefined, isForged?: boolean) => void;

/**
 * The store that dispatchers share: versioned documents with compare-and-set, a resumable change log, a schedule and
 * sessions. Every call has a time limit of 2 s; what cannot be carried out throws a RequestError `cmdb_unavailable`, and a
 * write whose outcome is unknown is read back until it is known before the call returns, for 10 s at most. After a
 * connection was lost the store may be another one: once `beat` was called on this handle, everything but `beat` and
 * `changes` waits for the next one, within the limit, so that its identity is known before anything is believed of it.
 *
 * Names, domains and incarnations are keys of 1 to 255 bytes without control characters: what writes another one throws a
 * RangeError and changes nothing, what looks for one finds nothing. A record that cannot be read is reported and skipped.
 */
export interface Cmdb {
  /**
   * Stores apps and claims their domains, and removes apps by name, readable or not, but for those that the files of other
   * machines hold. An app whose domain another app owns is
   * not stored, and nothing of what it had changes; the others are. What one app of the change gives up another may take, also
   * in a ring. Of two that want one free domain the first has it. Apps that are already stored as they are, with all their claims, cost no write. What came from a newer origin
   * than the one put stays as it is, and is no conflict: of several machines that apply their files at once, the newest wins. A
   * customer's file replaces and removes only what came from it, or from its own machine; an operator's file replaces it anyhow.
   */
  apply(change: AppChange): Promise<Conflict[]>;

  /**
   * By exact domain, else by the wildcard one label up, else undefined; or by the app's name, removed ones included. A
   * domain whose exact owner cannot be read leads nowhere.
   */
  find(query: { readonly domain: string } | { readonly app: string }): Promise<AppRecord | undefined>;

  /** All apps, or only those that have instances or should have them by scale.min. In no order; what changes meanwhile may be seen either way. */
  list(which: 'all' | 'active'): AsyncIterable<AppRecord>;

  /**
   * Applies `change` to the app's deployment with compare-and-set and retries until it stands; resolves to what it
   * read and what stands then. Keeps the schedule at or before model/schedule.ts nextDueAt, and appends to the change log.
   * A removed app whose deployment is empty goes with it; an app that cannot be read stays. Where there is no app, what
   * has instances gets a removed one of that name, so that it drains.
   */
  update(app: string, change: DeploymentChange): Promise<Updated>;

  /**
   * Changes after `position` (undefined: from now on, at once with an empty batch). Waits until there is at least one,
   * the signal aborts (an empty batch) or some seconds passed (an empty batch). Entries may repeat. Of a position that this
   * store did not give there is a gap.
   */
  changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch>;

  /** Apps whose deadline has passed at `now`, each handed to one caller and postponed by 5 s; removed ones at once, until they are gone. */
  due(now: number, limit: number): Promise<string[]>;

  /** Writes this node's session, removes those in `revoke` (its own: the node leaves), and returns all that stand. */
  beat(session: Session, revoke?: readonly string[]): Promise<Beat>;

  /** Ends connections and files. Calls under way are rejected. Re-entrant. */
  close(): Promise<void>;
}

import { changeTo } from '../../src/cmdb/change-to.js';
import type { AppRecord, Beat, Change, ChangeBatch, Cmdb, DomainConflict, Session } from '../../src/cmdb/cmdb.js';
import type { App } from '../../src/model/app.js';
import { type Deployment, emptyDeployment } from '../../src/model/deployment.js';
import { tombstone } from '../../src/cmdb/tombstone.js';
import { nextDueAt } from '../../src/model/schedule.js';
import type { Random } from './random.js';
import type { Timeline } from './timeline.js';

export interface StoredDeployment {
  readonly version: string;
  readonly deployment: Deployment;
}

export interface Stored {
  readonly app: { readonly app: App; readonly removed: boolean } | undefined;
  readonly deployment: StoredDeployment;
}

interface LogEntry {
  readonly id: number;
  readonly change: Change;
}

interface Data {
  identity: string;
  readonly apps: Map<string, { readonly app: App; readonly removed: boolean }>;
  readonly deployments: Map<string, StoredDeployment>;
  readonly domains: Map<string, string>;
  readonly schedule: Map<string, number>;
  readonly sessions: Map<string, Session>;
  log: LogEntry[];
}

/** Sees each change of a deployment as it happens. */
export type WriteListener = (app: App | undefined, before: Deployment, after: Deployment) => void;

const postponeMs = 5_000;
const logLength = 200;

/**
 * The one store: what Redis holds and does for the adapter, each method one command that is carried out at once and
 * whole. What can go wrong on the way to it and back is the link's matter.
 */
export class Store {
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #onWrite: WriteListener;
  readonly #waiting = new Set<() => void>();
  #data: Data;
  /** Goes up with each restart: connections of before are broken. */
  life = 0;
  /** Plants a bug: compare-and-set that does not compare. */
  passesOldWrites = false;

  constructor(timeline: Timeline, random: Random, onWrite: WriteListener) {
    this.#timeline = timeline;
    this.#random = random;
    this.#onWrite = onWrite;
    this.#data = this.#empty();
  }

  /** A copy as a replica has it; give it to `failOver` later. */
  replicate(): Data {
    const { apps, deployments, domains, schedule, sessions, log } = this.#data;
    return {
      identity: this.#token(),
      apps: new Map(apps),
      deployments: new Map(deployments),
      domains: new Map(domains),
      schedule: new Map(schedule),
      sessions: new Map(sessions),
      log: [...log],
    };
  }

  /** Another store answers from now on; nothing given: it has lost everything. */
  failOver(data: Data = this.#empty()): void {
    this.#data = data;
    this.life += 1;
    this.#wake();
  }

  read(name: string): Stored {
    return { app: this.#data.apps.get(name), deployment: this.#deployment(name) };
  }

  find(query: Parameters<Cmdb['find']>[0]): AppRecord | undefined {
    if ('app' in query) return this.record(query.app);
    for (const claim of [query.domain, query.domain.replace(/^[^.]*/, '*')]) {
      const record = this.record(this.#data.domains.get(claim) ?? '');
      if (record && !record.removed && record.app.domains.includes(claim)) return record;
    }
    return undefined;
  }

  record(name: string): AppRecord | undefined {
    const { app, deployment } = this.read(name);
    return app && { ...app, ...deployment };
  }

  names(which: 'all' | 'active'): string[] {
    return [...(which === 'all' ? this.#data.apps : this.#data.schedule).keys()];
  }

  apply({ put, remove }: Parameters<Cmdb['apply']>[0]): DomainConflict[] {
    for (const name of remove) this.#remove(name);
    return put.flatMap((app) => this.#put(app));
  }

  /** Writes the deployment if `expected` is its version still. True where it stands now. */
  swap(name: string, expected: string, next: StoredDeployment): boolean {
    const { app, deployment: current } = this.read(name);
    const dueAt = nextDueAt(next.deployment, app?.app);
    this.#scheduleEarlier(name, dueAt);
    const stands = current.version === next.version;
    if (!stands && current.version !== expected && !this.passesOldWrites) return false;
    if (!stands) this.#write(name, app, current.deployment, next);
    this.#append(changeTo(next.deployment, next.version));
    return true;
  }

  due(now: number, limit: number): string[] {
    const names = [...this.#data.schedule].filter(([, at]) => at <= now).slice(0, limit);
    return names.flatMap(([name]) => {
      const { app, deployment } = this.read(name);
      const at = nextDueAt(deployment.deployment, app?.app);
      if (at !== undefined && (at <= now || app?.removed === true)) {
        this.#data.schedule.set(name, now + postponeMs);
        return [name];
      }
      if (at === undefined) this.#data.schedule.delete(name);
      else this.#data.schedule.set(name, at);
      return [];
    });
  }

  beat(session: Session, revoke: readonly string[]): Beat {
    const { sessions, identity } = this.#data;
    const revoked = session.beats > 0 && !sessions.has(session.incarnation);
    if (!revoked) sessions.set(session.incarnation, session);
    for (const incarnation of revoke) sessions.delete(incarnation);
    return { identity, sessions: [...sessions.values()], revoked };
  }

  /** A position names the store that it is of: in another one it says nothing. */
  changes(position: string | undefined): ChangeBatch {
    const { log, identity } = this.#data;
    const last = log.at(-1)?.id ?? 0;
    const at = (id: number) => `${identity} ${id}`;
    if (position === undefined) return { position: at(last), changes: [], gap: false };
    const [store, id] = position.split(' ');
    const from = Number(id);
    const first = log[0]?.id;
    const fellOff = first === undefined ? from !== 0 : from < first && (from !== 0 || log.length >= logLength);
    if (store !== identity || fellOff || from > last) return { position: at(last), changes: [], gap: true };
    const entries = log.filter((entry) => entry.id > from);
    return { position: at(entries.at(-1)?.id ?? from), changes: entries.map(({ change }) => change), gap: false };
  }

  /** Calls `wake` once with the next change. Returns what takes it back. */
  wait(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => void this.#waiting.delete(wake);
  }

  get deployments(): Deployment[] {
    return [...this.#data.deployments.values()].map(({ deployment }) => deployment);
  }

  #write(name: string, app: Stored['app'], before: Deployment, next: StoredDeployment): void {
    const { apps, deployments } = this.#data;
    if (next.deployment.instances.length === 0 && (!app || app.removed)) {
      deployments.delete(name);
      apps.delete(name);
    } else {
      if (!app) apps.set(name, tombstone(name, next.deployment));
      deployments.set(name, next);
    }
    this.#onWrite(app?.app, before, next.deployment);
  }

  #put(app: App): DomainConflict[] {
    const { apps, domains } = this.#data;
    const stored = apps.get(app.name);
    if (stored && !stored.removed && stored.app === app) return [];
    const conflicts = app.domains.flatMap((domain) => {
      const ownedBy = domains.get(domain);
      const owner = ownedBy === undefined || ownedBy === app.name ? undefined : apps.get(ownedBy);
      const holds = ownedBy !== undefined && owner && !owner.removed && owner.app.domains.includes(domain);
      return holds ? [{ domain, wantedBy: app.name, ownedBy }] : [];
    });
    if (conflicts.length > 0) return conflicts;
    for (const domain of stored?.app.domains ?? []) this.#unclaim(domain, app.name);
    for (const domain of app.domains) domains.set(domain, app.name);
    apps.set(app.name, { app, removed: false });
    this.#scheduleEarlier(app.name, nextDueAt(this.#deployment(app.name).deployment, app));
    this.#append({ app: app.name });
    return [];
  }

  #remove(name: string): void {
    const { apps, deployments } = this.#data;
    const stored = apps.get(name);
    if (!stored || stored.removed) return;
    for (const domain of stored.app.domains) this.#unclaim(domain, name);
    if (this.#deployment(name).deployment.instances.length === 0) {
      apps.delete(name);
      deployments.delete(name);
    } else {
      apps.set(name, { app: stored.app, removed: true });
      this.#scheduleEarlier(name, 0);
    }
    this.#append({ app: name });
  }

  #unclaim(domain: string, owner: string): void {
    const { domains } = this.#data;
    if (domains.get(domain) === owner) domains.delete(domain);
  }

  #scheduleEarlier(name: string, at: number | undefined): void {
    const { schedule } = this.#data;
    if (at !== undefined) schedule.set(name, Math.min(at, schedule.get(name) ?? Infinity));
  }

  #append(change: Change): void {
    const { log } = this.#data;
    // As Redis does: by the server's clock, so that a store that lost some goes on at higher ones.
    const id = Math.max((log.at(-1)?.id ?? 0) + 1, (this.#timeline.now + 1) * 1_000);
    log.push({ id, change });
    if (log.length > logLength) log.shift();
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) {
      this.#waiting.delete(wake);
      wake();
    }
  }

  #deployment(name: string): StoredDeployment {
    return this.#data.deployments.get(name) ?? { version: '', deployment: emptyDeployment(name) };
  }

  #empty(): Data {
    return {
      identity: this.#token(),
      apps: new Map(),
      deployments: new Map(),
      domains: new Map(),
      schedule: new Map(),
      sessions: new Map(),
      log: [],
    };
  }

  #token(): string {
    return this.#random.bytes(6).toString('hex');
  }
}

import type { Logger } from 'pino';
import type { Session } from '../cmdb/cmdb.js';
import type { Clock } from '../model/clock.js';
import { type Location, sees, type Sight } from '../model/instance.js';
import { HostClash, type Rival } from './host-clash.js';
import { type SessionTiming, silentAfterMs } from './session-timing.js';
import { sightOf } from './sight.js';
import type { StoreHealth } from './store-health.js';
import type { StoreListener } from './store-listener.js';

/** 'silent': judged dead, but it may still be sending; it counts until `outageGrace` has passed. */
export type Verdict = 'alive' | 'silent' | 'gone' | 'unknown';

export interface PeersOptions {
  readonly store: Pick<StoreHealth, 'isSteady'>;
  /** What this node sees. */
  readonly sight: Sight;
  readonly process: Session['process'];
  readonly timing: SessionTiming;
  /** Whether a session's process on this machine is proved dead. */
  readonly isProvedDead: (session: Session) => boolean;
  readonly listeners: readonly StoreListener[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Upper bound for incarnations that are remembered as gone. */
const maxRemembered = 10_000;

interface Observed {
  readonly session: Session;
  /** When its counter was last seen to move. */
  readonly movedAt: number;
}

/**
 * Judges the store's sessions by whether their counters move, on this node's monotonic clock. A session that is no longer in the
 * store has left or was revoked; one whose process is proved dead is revoked at once.
 */
export class Peers {
  readonly #options: PeersOptions;
  readonly #clash: HostClash;
  #observed = new Map<string, Observed>();
  /** Incarnations asked about that no beat has shown, and since when. */
  readonly #asked = new Map<string, number>();
  /** Proved dead, or asked about and absent from the store. */
  readonly #gone = new Set<string>();
  readonly #revoke = new Set<string>();
  /** Hosts with a live session as of the last beat after which this node could judge. */
  #liveHosts: ReadonlySet<string> = new Set();
  /** Since when this machine has no rival; undefined while it has one. */
  #unrivalledSince: number | undefined;

  constructor(options: PeersOptions) {
    const { sight, process, timing, logger } = options;
    this.#options = options;
    this.#clash = new HostClash({ host: sight.host, process, lastsMs: silentAfterMs(timing), logger });
  }

  /** Takes in the sessions of a beat that was sent at `askedAt` (monotonic milliseconds) and has just been answered. */
  observe(sessions: readonly Session[], askedAt: number): void {
    const now = this.#now;
    this.#clash.observe(sessions, now);
    this.#unrivalledSince = this.rival ? undefined : (this.#unrivalledSince ?? now);
    const next = new Map<string, Observed>();
    for (const session of sessions) {
      const { incarnation, beats } = session;
      const before = this.#observed.get(incarnation);
      const stands = before?.session.beats === beats;
      next.set(incarnation, { session, movedAt: stands ? before.movedAt : now });
      this.#asked.delete(incarnation);
      if (this.#isProvedDead(session)) {
        this.#revoke.add(incarnation);
        this.#remember(incarnation);
        // A record may have named it before its first beat.
      } else this.#gone.delete(incarnation);
    }
    for (const revoked of this.#revoke) if (!next.has(revoked)) this.#revoke.delete(revoked);
    for (const [incarnation, since] of this.#asked) {
      // Only a beat sent after the question proves absence: a node registers its session before its first use.
      if (since <= askedAt) {
        this.#asked.delete(incarnation);
        this.#remember(incarnation);
      }
    }
    this.#observed = next;
    this.#watchHosts();
  }

  /** Whether this node may judge, drain or terminate: for long enough the same store has answered, and no rival was seen. */
  get mayJudge(): boolean {
    const { store, timing } = this.#options;
    if (this.#unrivalledSince === undefined || !store.isSteady) return false;
    return this.#now - this.#unrivalledSince >= timing.ttlMs;
  }

  /** Another machine with this one's name; while there is one, nobody knows whose an instance of this host is. */
  get rival(): Rival | undefined {
    return this.#clash.rival;
  }

  /** Whether sessions of this host may be a rival's. */
  get mayHaveRival(): boolean {
    return this.#clash.isOpen;
  }

  /** All that the store had at the last beat, live or dead. */
  get sessions(): readonly Session[] {
    return [...this.#observed.values()].map(({ session }) => session);
  }

  /** The verdict on a session. 'unknown': ask again after the next beat. */
  verdict(incarnation: string): Verdict {
    if (this.#gone.has(incarnation)) return 'gone';
    const observed = this.#observed.get(incarnation);
    if (!observed) return this.#absent(incarnation);
    if (this.#revoke.has(incarnation)) return 'silent';
    const { timing } = this.#options;
    const silentMs = this.#now - observed.movedAt;
    if (!this.mayJudge || silentMs <= silentAfterMs(timing)) return 'alive';
    if (silentMs > timing.outageGraceMs) this.#revoke.add(incarnation);
    return 'silent';
  }

  /** The first live session of this host in the order of incarnations. */
  get leader(): string | undefined {
    const { host } = this.#options.sight;
    const live = this.#live.filter((session) => session.host === host).map(({ incarnation }) => incarnation);
    return live.toSorted()[0];
  }

  /** Whether a node of that host may live: false only if this one may judge and sees none. */
  isHostLive(host: string): boolean {
    if (host === this.#options.sight.host || !this.mayJudge) return true;
    return this.#live.some((session) => session.host === host);
  }

  /** Whether a node that sees an instance there may live: false only if this one may judge and knows of none. */
  isSeen(location: Location): boolean {
    if (sees(this.#options.sight, location) || !this.mayJudge) return true;
    return this.#live.some((session) => sees(sightOf(session), location));
  }

  /** Whether a node that sees an instance there was seen to beat after a moment, in monotonic milliseconds. */
  hasBeatenSince(location: Location, moment: number): boolean {
    return [...this.#observed.values()].some(
      ({ session, movedAt }) => movedAt > moment && sees(sightOf(session), location),
    );
  }

  /** Takes a session out of the store with the next beat. */
  revoke(incarnation: string): void {
    this.#revoke.add(incarnation);
  }

  /** Sessions to take out of the store with the next beat. */
  toRevoke(): readonly string[] {
    return [...this.#revoke];
  }

  /** Forgets all that was observed: the store is another one. */
  forget(): void {
    this.#observed.clear();
    this.#asked.clear();
    this.#gone.clear();
    this.#revoke.clear();
    this.#clash.forget();
  }

  get #now(): number {
    return this.#options.clock.monotonic();
  }

  get #live(): Session[] {
    return this.sessions.filter(({ incarnation }) => this.verdict(incarnation) === 'alive');
  }

  /** The other boot id of a rival's session does not prove it dead. */
  #isProvedDead(session: Session): boolean {
    return !this.#clash.protects(session) && this.#options.isProvedDead(session);
  }

  #watchHosts(): void {
    if (!this.mayJudge) return;
    const { sight, listeners } = this.#options;
    const before = this.#liveHosts;
    this.#liveHosts = new Set(this.#live.map(({ host }) => host));
    const silent = [...before].filter((host) => host !== sight.host && !this.#liveHosts.has(host));
    if (silent.length > 0) for (const listener of listeners) void listener.hostsSilent?.(silent);
  }

  #remember(incarnation: string): void {
    if (this.#gone.size >= maxRemembered) this.#gone.clear();
    this.#gone.add(incarnation);
  }

  #absent(incarnation: string): Verdict {
    if (!this.#asked.has(incarnation)) this.#asked.set(incarnation, this.#now);
    return 'unknown';
  }
}

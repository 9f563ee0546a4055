import type { Session } from '../cmdb/cmdb.js';
import { type Location, sees } from '../model/instance.js';
import type { SessionTiming } from './session-timing.js';
import { sightOf } from './sight.js';

/** 'silent': judged dead, but it may still be sending; it counts until `outageGrace` has passed. */
export type Verdict = 'alive' | 'silent' | 'gone' | 'unknown';

/** Bound of what is remembered of incarnations long gone. */
const maxRemembered = 10_000;

interface Observed {
  readonly session: Session;
  readonly beats: number;
  readonly movedAt: number;
}

/**
 * Judges other nodes' sessions by whether their counters move, on this node's monotonic clock. A session that is no
 * longer in the store has left or was revoked; one whose process is proved dead is revoked at once.
 */
export class Liveness {
  readonly #timing: SessionTiming;
  readonly #isProvedDead: (session: Session) => boolean;
  #observed = new Map<string, Observed>();
  /** Incarnations asked about that no beat has shown; since when. */
  readonly #asked = new Map<string, number>();
  /** Proved dead, or absent from the store after somebody asked. */
  readonly #gone = new Set<string>();
  readonly #revoke = new Set<string>();

  constructor(timing: SessionTiming, isProvedDead: (session: Session) => boolean) {
    this.#timing = timing;
    this.#isProvedDead = isProvedDead;
  }

  /** All sessions that the store had at a beat asked for at `askedAt` and answered at `now` (monotonic milliseconds). */
  observe(sessions: readonly Session[], now: number, askedAt: number): void {
    const next = new Map<string, Observed>();
    for (const session of sessions) {
      const before = this.#observed.get(session.incarnation);
      const moved = before === undefined || before.beats !== session.beats;
      next.set(session.incarnation, { session, beats: session.beats, movedAt: moved ? now : before.movedAt });
      this.#asked.delete(session.incarnation);
      if (this.#isProvedDead(session)) {
        this.#revoke.add(session.incarnation);
        this.#remember(session.incarnation);
        // Its first beat may have come later than its first trace.
      } else this.#gone.delete(session.incarnation);
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
  }

  /** `mayJudge`: whether the same store has answered for long enough that a counter that stands still means something. */
  verdict(incarnation: string, now: number, mayJudge: boolean): Verdict {
    if (this.#gone.has(incarnation)) return 'gone';
    const observed = this.#observed.get(incarnation);
    if (!observed) return this.#absent(incarnation, now);
    if (this.#revoke.has(incarnation)) return 'silent';
    const silentMs = now - observed.movedAt;
    if (!mayJudge || silentMs <= this.#timing.ttlMs + 2_000) return 'alive';
    if (silentMs > this.#timing.outageGraceMs) this.#revoke.add(incarnation);
    return 'silent';
  }

  /** The live session of a machine that comes first in the order of incarnations; undefined where none was seen. */
  firstOf(host: string, now: number, mayJudge: boolean): string | undefined {
    const live = [...this.#observed.values()]
      .filter(({ session }) => session.host === host)
      .map(({ session }) => session.incarnation)
      .filter((incarnation) => this.verdict(incarnation, now, mayJudge) === 'alive');
    return live.toSorted()[0];
  }

  /** Machines of which a session lives; asked only where this node may judge. */
  liveHosts(now: number): ReadonlySet<string> {
    const live = [...this.#observed.values()].filter(
      ({ session }) => this.verdict(session.incarnation, now, true) === 'alive',
    );
    return new Set(live.map(({ session }) => session.host));
  }

  /** Whether a session lives whose node sees an instance there; asked only where this node may judge. */
  isSeen(location: Location, now: number): boolean {
    return [...this.#observed.values()].some(
      ({ session }) => sees(sightOf(session), location) && this.verdict(session.incarnation, now, true) === 'alive',
    );
  }

  /** When a beat of a node that sees an instance there was last seen, in monotonic milliseconds; -Infinity: never. */
  lastBeatOf(location: Location): number {
    const seeing = [...this.#observed.values()].filter(({ session }) => sees(sightOf(session), location));
    return Math.max(-Infinity, ...seeing.map(({ movedAt }) => movedAt));
  }

  /** Takes a session out of the store with the next beat. */
  revoke(incarnation: string): void {
    this.#revoke.add(incarnation);
  }

  /** Sessions to take out of the store with the next beat. */
  toRevoke(): readonly string[] {
    return [...this.#revoke];
  }

  /** Another store: nothing observed before says anything. */
  forget(): void {
    this.#observed.clear();
    this.#asked.clear();
    this.#gone.clear();
    this.#revoke.clear();
  }

  #remember(incarnation: string): void {
    if (this.#gone.size >= maxRemembered) this.#gone.clear();
    this.#gone.add(incarnation);
  }

  #absent(incarnation: string, now: number): Verdict {
    if (!this.#asked.has(incarnation)) this.#asked.set(incarnation, now);
    return 'unknown';
  }
}

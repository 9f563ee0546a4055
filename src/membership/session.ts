import type { Logger } from 'pino';
import type { Beat, Cmdb, Session } from '../cmdb/cmdb.js';
import type { Clock, Timer } from '../model/clock.js';
import { type Location, sees } from '../model/instance.js';
import type { RandomBytes } from '../model/random-bytes.js';
import { RequestError } from '../model/errors.js';
import { HostClash, type Rival } from './host-clash.js';
import { explainStranger, isHere, sightOf, strangersTo } from './sight.js';
import { Liveness, type Verdict } from './liveness.js';
import { republishLimitMs, type SessionTiming } from './session-timing.js';

export interface NodeSessionOptions {
  readonly cmdb: Cmdb;
  readonly host: string;
  readonly process: Session['process'];
  /** What this node sees, as far as it is known by now. */
  readonly runtimes?: () => NonNullable<Session['runtimes']>;
  /** Whether a session's process on this machine is proved dead. */
  readonly isProvedDead: (session: Session) => boolean;
  readonly timing: SessionTiming;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly logger: Logger;
  /**
   * The incarnation changed: uses registered under the old one must be registered anew before anything is sent. The store was
   * replaced so soon after this node's last beat that until `republishUntil`, in monotonic milliseconds, what it uses can only be
   * missing because it was lost.
   */
  readonly onRenewed: (republishUntil?: number) => Promise<void>;
  /** The store is another one than before: it came back empty, or a replica took over. */
  readonly onStoreReplaced: () => void;
  /** No node of these machines lives any more, as far as this one can judge. */
  readonly onHostsSilent: (hosts: readonly string[]) => void;
}

const notYetReached = 'not yet reached';

/**
 * This node's liveness in the CMDB, and its judgement of the others. Beats in the background; an unreachable store is
 * logged once and does not end the session on this side.
 */
export class NodeSession {
  readonly #options: NodeSessionOptions;
  readonly #liveness: Liveness;
  readonly #clash: HostClash;
  #incarnation: string;
  /** Names this process had before. */
  readonly #former = new Set<string>();
  /** Renewals whose uses are not all registered anew. */
  #renewing = 0;
  #beats = 0;
  #lastTickAt: number;
  #identity: string | undefined;
  /** Machines with a live session as of the last beat after which this node might judge; this one is always among them. */
  #liveHosts: ReadonlySet<string> | undefined;
  /** Since when the same store has answered without a gap; undefined while it does not. */
  #steadySince: number | undefined;
  #outage: string | undefined = notYetReached;
  #replacedAt = -Infinity;
  /** Since when this node knows this store. */
  #knownSince = Infinity;
  #answeredAt = -Infinity;
  /** All that the store had at the last beat. */
  #sessions: readonly Session[] = [];
  #timer: Timer | undefined;
  #beating: Promise<void> | undefined;
  #stopped = false;

  constructor(options: NodeSessionOptions) {
    this.#options = options;
    this.#incarnation = this.#newIncarnation();
    const { timing, isProvedDead } = options;
    this.#clash = new HostClash({ ...options, lastsMs: timing.ttlMs + 2_000 });
    this.#liveness = new Liveness(timing, (session) => !this.#clash.protects(session) && isProvedDead(session));
    this.#lastTickAt = options.clock.monotonic();
  }

  get incarnation(): string {
    return this.#incarnation;
  }

  /** Why the store cannot be used at the moment; undefined while it can. */
  get outage(): string | undefined {
    return this.#outage;
  }

  /** When the store last answered, in monotonic milliseconds; -Infinity: never. */
  get answeredAt(): number {
    return this.#answeredAt;
  }

  /** The store's identity as of the last beat. */
  get storeIdentity(): string | undefined {
    return this.#identity;
  }

  /** Machines that had a session in the store at the last beat, whether it lives or nobody has judged it dead yet. */
  get hosts(): ReadonlySet<string> {
    return new Set(this.#sessions.map(({ host }) => host));
  }

  /** Whether this node has seen the same store answer for long enough to judge, drain or terminate. */
  get mayJudge(): boolean {
    const { clock, timing } = this.#options;
    if (this.rival) return false;
    return this.#steadySince !== undefined && clock.monotonic() - this.#steadySince >= timing.ttlMs;
  }

  /** Another machine that goes by this one's name: as long as there is one, nobody knows whose an instance of this host is. */
  get rival(): Rival | undefined {
    return this.#clash.rival;
  }

  /** Whether sessions of this host may be another machine's. */
  get mayHaveRival(): boolean {
    return this.#clash.isOpen;
  }

  /**
   * Whether this node does, of the live ones on this machine, what one of them has to do: reconcile, and settle what a
   * dead one left. Two may think so for as long as a beat takes; that is harmless.
   */
  get leadsHost(): boolean {
    const { clock, host } = this.#options;
    return this.#liveness.firstOf(host, clock.monotonic(), this.mayJudge) === this.#incarnation;
  }

  /** Whether a node of that machine may live: false only where this one may judge and sees none. */
  isHostLive(host: string): boolean {
    if (host === this.#options.host || !this.mayJudge) return true;
    return this.#liveness.liveHosts(this.#options.clock.monotonic()).has(host);
  }

  /** Whether a node that sees an instance there may live: false only where this one may judge and knows of none. */
  isSeen(location: Location): boolean {
    if (sees(sightOf(this.#session()), location) || !this.mayJudge) return true;
    return this.#liveness.isSeen(location, this.#options.clock.monotonic());
  }

  /** Whether a node that sees an instance there was seen to beat after a moment, in monotonic milliseconds. */
  hasBeatenSince(location: Location, moment: number): boolean {
    return this.#liveness.lastBeatOf(location) > moment;
  }

  /** For one TTL after the store was replaced, what it does not know may still come: not a 404, not an orphan. */
  get storeIsComplete(): boolean {
    const { clock, timing } = this.#options;
    return clock.monotonic() - this.#replacedAt >= timing.ttlMs;
  }

  /** Whether this node has known this store for a TTL: then every other one has heard of it as well. */
  get storeIsFamiliar(): boolean {
    return this.#options.clock.monotonic() - this.#knownSince >= this.#options.timing.ttlMs;
  }

  /** Resolves when the store is complete: nothing is booted before, for an instance may be there that is not written yet. */
  async complete(): Promise<void> {
    const { clock, timing } = this.#options;
    while (!this.storeIsComplete) {
      const leftMs = this.#replacedAt + timing.ttlMs - clock.monotonic();
      await new Promise<void>((resolve) => clock.after(leftMs, resolve));
    }
  }

  /**
   * Call in the tick in which a request is dispatched: false where this process was frozen for longer than a session
   * lives, so that others may have given it up; the session is then renewed.
   */
  check(): boolean {
    const now = this.#options.clock.monotonic();
    if (now - this.#lastTickAt < this.#options.timing.ttlMs) return true;
    this.#renew('this process was frozen for longer than a session lives');
    return false;
  }

  /** What is known of a user found in a deployment. 'unknown' asks again after the next beat, which is brought forward. */
  verdict(incarnation: string): Verdict {
    if (incarnation === this.#incarnation) return 'alive';
    // What is still in use here is registered under the present name, once a renewal is through.
    if (this.isFormer(incarnation)) return this.#renewing > 0 ? 'alive' : 'gone';
    const verdict = this.#liveness.verdict(incarnation, this.#options.clock.monotonic(), this.mayJudge);
    if (verdict === 'unknown' && !this.#stopped) void this.beat();
    return verdict;
  }

  /**
   * Beats once now and goes on in the background. Resolves after the first attempt, whatever came of it; throws an Error if another
   * daemon on this machine has the same `node.host` and does not see what this one does.
   */
  async start(): Promise<void> {
    await this.beat();
    const stranger = await this.#stranger();
    if (stranger) {
      await this.leave();
      throw new Error(explainStranger(this.#session(), stranger));
    }
    this.#schedule();
  }

  /** Whether this process had this name before its session lapsed. */
  isFormer(incarnation: string): boolean {
    return this.#former.has(incarnation);
  }

  /** Whether this process has this name, or had it. */
  isOwn(incarnation: string): boolean {
    return incarnation === this.#incarnation || this.isFormer(incarnation);
  }

  /**
   * Others must see this session before they see its first use or claim: resolves to the incarnation to write, which is
   * in the store. Throws `cmdb_unavailable`.
   */
  async ensureRegistered(): Promise<string> {
    if (this.#beats === 0) await this.beat();
    // The beat that was under way may have been the old incarnation's.
    if (this.#beats === 0 && this.#outage === undefined) await this.beat();
    if (this.#beats === 0) {
      throw new RequestError('cmdb_unavailable', 'The configuration store cannot be reached.', { cause: this.#outage });
    }
    return this.#incarnation;
  }

  /** One beat; concurrent callers share it. Never throws. */
  beat(): Promise<void> {
    this.#beating ??= this.#beatOnce().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  /** Stops beating and leaves the CMDB, so that nobody has to judge. */
  async leave(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#beating;
    if (this.#outage !== undefined) return;
    await this.#options.cmdb.beat(this.#session(), [this.#incarnation]).catch((error: unknown) => {
      this.#options.logger.warn(
        { err: error },
        'could not take the session out of the CMDB; others will judge it dead',
      );
    });
  }

  /** One of which nothing is known but its beats is waited for: it may have been left by a daemon that was killed. */
  async #stranger(): Promise<Session | undefined> {
    const { clock, timing, isProvedDead } = this.#options;
    const find = () => strangersTo(this.#session(), this.#sessions).filter((session) => !isProvedDead(session));
    const before = find();
    const proved = before.find(({ process }) => isHere(process, this.#options.process));
    if (proved || before.length === 0) return proved;
    await new Promise<void>((resolve) => clock.after(2 * timing.beatMs, resolve));
    await this.beat();
    return find().find(({ incarnation, beats }) =>
      before.every((old) => old.incarnation !== incarnation || old.beats !== beats),
    );
  }

  #tick(): void {
    this.check();
    this.#lastTickAt = this.#options.clock.monotonic();
    void this.beat();
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#stopped) this.#timer = this.#options.clock.after(this.#options.timing.beatMs, () => this.#tick());
  }

  async #beatOnce(): Promise<void> {
    const { cmdb, clock, logger } = this.#options;
    const askedAt = clock.monotonic();
    const session = this.#session();
    try {
      const beat = await cmdb.beat(session, this.#liveness.toRevoke());
      if (session.incarnation !== this.#incarnation) return;
      this.#beats += 1;
      this.#observe(beat, askedAt);
    } catch (error) {
      this.#steadySince = undefined;
      const isTold = this.#outage !== undefined && this.#outage !== notYetReached;
      this.#outage = error instanceof Error ? error.message : String(error);
      const advice = 'start it, or correct cmdb; known apps keep answering, boots wait';
      if (!isTold) logger.warn({ err: error }, `the CMDB cannot be reached: ${reasonOf(error)}; ${advice}`);
    }
  }

  #observe(beat: Beat, askedAt: number): void {
    const { clock, logger, timing } = this.#options;
    const now = clock.monotonic();
    if (this.#outage !== undefined) logger.info('the CMDB answers');
    this.#outage = undefined;
    // A beat that took longer than a session lives is a gap, even though it was answered in the end.
    if (now - askedAt > timing.ttlMs) this.#steadySince = undefined;
    const replaced = this.#identity !== undefined && this.#identity !== beat.identity;
    if (replaced) {
      logger.warn('the CMDB is another store than before (restart with other data, or failover); applying apps again');
      this.#steadySince = undefined;
      this.#replacedAt = now;
      this.#liveness.forget();
      this.#clash.forget();
    }
    const republishUntil = this.#answeredAt + Math.min(timing.outageGraceMs, republishLimitMs);
    this.#answeredAt = now;
    if (this.#identity !== beat.identity) this.#knownSince = now;
    this.#identity = beat.identity;
    this.#steadySince ??= now;
    this.#sessions = beat.sessions;
    this.#clash.observe(beat.sessions, now);
    if (this.rival) this.#steadySince = undefined;
    this.#liveness.observe(beat.sessions, now, askedAt);
    this.#watchHosts(now);
    if (beat.revoked && !replaced) this.#renew('another node revoked it');
    if (replaced) {
      this.#renew('the store was replaced', now < republishUntil ? republishUntil : undefined);
      this.#options.onStoreReplaced();
    }
  }

  #watchHosts(now: number): void {
    if (!this.mayJudge) return;
    const { host, onHostsSilent } = this.#options;
    const before = this.#liveHosts ?? new Set();
    this.#liveHosts = this.#liveness.liveHosts(now);
    const silent = [...before].filter((known) => known !== host && !this.#liveHosts?.has(known));
    if (silent.length > 0) onHostsSilent(silent);
  }

  #renew(why: string, republishUntil?: number): void {
    const old = this.#incarnation;
    this.#options.logger.warn({ why }, 'this session lapsed; registering anew');
    this.#incarnation = this.#newIncarnation();
    this.#former.add(old);
    this.#liveness.revoke(old);
    this.#beats = 0;
    this.#lastTickAt = this.#options.clock.monotonic();
    void this.beat();
    this.#renewing += 1;
    void this.#options.onRenewed(republishUntil).finally(() => {
      this.#renewing -= 1;
    });
  }

  #session(): Session {
    const { host, process, runtimes = () => ({}) } = this.#options;
    return { incarnation: this.#incarnation, host, beats: this.#beats, process, runtimes: runtimes() };
  }

  #newIncarnation(): string {
    return this.#options.randomBytes(9).toString('base64url');
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}

import type { Logger } from 'pino';
import type { Beat, Cmdb, Session } from '../cmdb/cmdb.js';
import { type Clock, sleep, type Timer } from '../model/clock.js';
import type { RandomBytes } from '../model/random-bytes.js';
import { RequestError } from '../model/errors.js';
import type { Peers, Verdict } from './peers.js';
import { republishLimitMs, type SessionTiming } from './session-timing.js';
import { explainStranger, isHere, strangersTo } from './sight.js';
import type { StoreHealth } from './store-health.js';
import type { StoreListener } from './store-listener.js';

export interface NodeSessionOptions {
  readonly cmdb: Cmdb;
  readonly store: StoreHealth;
  readonly peers: Peers;
  readonly host: string;
  readonly process: Session['process'];
  /** Identities of this node's runtimes, as far as they are known. */
  readonly runtimes?: () => NonNullable<Session['runtimes']>;
  readonly timing: SessionTiming;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly logger: Logger;
  readonly listeners: readonly StoreListener[];
}

/**
 * This node's heartbeat in the CMDB. It shows the others that this node lives, and its answers say what became of them and the store.
 * Beats in the background; an unreachable store is logged once and does not end the session on this side.
 */
export class NodeSession {
  readonly #options: NodeSessionOptions;
  #incarnation: string;
  /** Former incarnations of this process. */
  readonly #former = new Set<string>();
  /** Number of renewals under way. */
  #renewing = 0;
  #beats = 0;
  #lastTickAt: number;
  #timer: Timer | undefined;
  #beating: Promise<void> | undefined;
  #stopped = false;

  constructor(options: NodeSessionOptions) {
    this.#options = options;
    this.#incarnation = this.#newIncarnation();
    this.#lastTickAt = options.clock.monotonic();
  }

  get incarnation(): string {
    return this.#incarnation;
  }

  /**
   * Whether this node does what one node per host has to do: reconcile, and settle what dead ones left. For as long as a beat takes
   * two may do it; that is harmless.
   */
  get leadsHost(): boolean {
    return this.#options.peers.leader === this.#incarnation;
  }

  /**
   * Renews the session if this process was frozen for longer than a session lives, as others may have given it up; false then. Call it
   * in the tick in which a request is dispatched.
   */
  renewIfFrozen(): boolean {
    const now = this.#options.clock.monotonic();
    if (now - this.#lastTickAt < this.#options.timing.ttlMs) return true;
    this.#renew('this process was frozen for longer than a session lives');
    return false;
  }

  /** The verdict on a session that a deployment names. If it is 'unknown', the next beat comes at once. */
  verdict(incarnation: string): Verdict {
    if (incarnation === this.#incarnation) return 'alive';
    // After a renewal, all that is in use here is registered under the present incarnation.
    if (this.isFormer(incarnation)) return this.#renewing > 0 ? 'alive' : 'gone';
    const verdict = this.#options.peers.verdict(incarnation);
    if (verdict === 'unknown') void this.beat();
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

  /** Whether it is a former incarnation of this process. */
  isFormer(incarnation: string): boolean {
    return this.#former.has(incarnation);
  }

  /** Whether it is the present or a former incarnation of this process. */
  isOwn(incarnation: string): boolean {
    return incarnation === this.#incarnation || this.isFormer(incarnation);
  }

  /** Resolves to the incarnation once it is in the store: others must see it before its uses and claims. Throws `cmdb_unavailable`. */
  async ensureRegistered(): Promise<string> {
    const { store } = this.#options;
    if (this.#beats === 0) await this.beat();
    // The beat that was under way may have been the old incarnation's.
    if (this.#beats === 0 && store.outage === undefined) await this.beat();
    if (this.#beats === 0) {
      throw new RequestError('cmdb_unavailable', 'The configuration store cannot be reached.', { cause: store.outage });
    }
    return this.#incarnation;
  }

  /** One beat; concurrent callers share it. None after the node has left. Never throws. */
  async beat(): Promise<void> {
    if (!this.#stopped)
      this.#beating ??= this.#beatOnce().finally(() => {
        this.#beating = undefined;
      });
    await this.#beating;
  }

  /** Stops beating and takes the session out of the CMDB, so that no node has to judge it. */
  async leave(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#beating;
    if (this.#options.store.outage !== undefined) return;
    await this.#options.cmdb.beat(this.#session(), [this.#incarnation]).catch((error: unknown) => {
      this.#options.logger.warn(
        { err: error },
        'could not take the session out of the CMDB; others will judge it dead',
      );
    });
  }

  /**
   * The session of a live daemon of this machine that runs its containers elsewhere. Waits for its next beat if nothing else proves it
   * alive: a daemon that was killed may have left its session behind.
   */
  async #stranger(): Promise<Session | undefined> {
    const { peers, clock, timing } = this.#options;
    const isGone = ({ incarnation }: Session) => peers.verdict(incarnation) === 'gone';
    const find = () => strangersTo(this.#session(), peers.sessions).filter((session) => !isGone(session));
    const before = find();
    const proved = before.find(({ process }) => isHere(process, this.#options.process));
    if (proved || before.length === 0) return proved;
    await sleep(clock, 2 * timing.beatMs);
    await this.beat();
    return find().find(({ incarnation, beats }) =>
      before.every((old) => old.incarnation !== incarnation || old.beats !== beats),
    );
  }

  #tick(): void {
    this.renewIfFrozen();
    this.#lastTickAt = this.#options.clock.monotonic();
    void this.beat();
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#stopped) this.#timer = this.#options.clock.after(this.#options.timing.beatMs, () => this.#tick());
  }

  async #beatOnce(): Promise<void> {
    const { cmdb, store, peers, clock, logger } = this.#options;
    const askedAt = clock.monotonic();
    const session = this.#session();
    try {
      const beat = await cmdb.beat(session, peers.toRevoke());
      if (session.incarnation !== this.#incarnation) return;
      this.#beats += 1;
      this.#observe(beat, askedAt);
    } catch (error) {
      const advice = 'start it, or correct cmdb; known apps keep answering, boots wait';
      if (store.failed(error)) logger.warn({ err: error }, `the CMDB cannot be reached: ${reasonOf(error)}; ${advice}`);
    }
  }

  #observe({ identity, sessions, revoked }: Beat, askedAt: number): void {
    const { store, peers, clock, logger, timing, listeners } = this.#options;
    if (store.outage !== undefined) logger.info('the CMDB answers');
    const republishUntil = store.answeredAt + Math.min(timing.outageGraceMs, republishLimitMs);
    const isReplaced = store.answered(identity, askedAt);
    if (isReplaced) {
      logger.warn('the CMDB is another store than before (restart with other data, or failover); applying apps again');
      peers.forget();
    }
    peers.observe(sessions, askedAt);
    if (isReplaced) {
      this.#renew('the store was replaced', clock.monotonic() < republishUntil ? republishUntil : undefined);
      for (const listener of listeners) listener.storeReplaced?.();
    } else if (revoked) this.#renew('another node revoked it');
  }

  #renew(why: string, republishUntil?: number): void {
    const old = this.#incarnation;
    this.#options.logger.warn({ why }, 'this session lapsed; registering anew');
    this.#incarnation = this.#newIncarnation();
    this.#former.add(old);
    this.#options.peers.revoke(old);
    this.#beats = 0;
    this.#lastTickAt = this.#options.clock.monotonic();
    void this.beat();
    this.#renewing += 1;
    const renewals = this.#options.listeners.map(async (listener) => listener.sessionRenewed?.(republishUntil));
    void Promise.all(renewals).finally(() => (this.#renewing -= 1));
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

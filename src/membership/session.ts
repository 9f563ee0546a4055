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
  /** What this node sees, as far as it is known by now. */
  readonly runtimes?: () => NonNullable<Session['runtimes']>;
  readonly timing: SessionTiming;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly logger: Logger;
  readonly listeners: readonly StoreListener[];
}

/**
 * This node's heartbeat in the CMDB, which tells the others that it lives, and by which it hears of them and of the store.
 * Beats in the background; an unreachable store is logged once and does not end the session on this side.
 */
export class NodeSession {
  readonly #options: NodeSessionOptions;
  #incarnation: string;
  /** Names this process had before. */
  readonly #former = new Set<string>();
  /** Renewals whose uses are not all registered anew. */
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
   * Whether this node does, of the live ones on this machine, what one of them has to do: reconcile, and settle what a
   * dead one left. Two may think so for as long as a beat takes; that is harmless.
   */
  get leadsHost(): boolean {
    return this.#options.peers.leader === this.#incarnation;
  }

  /**
   * Call in the tick in which a request is dispatched. False if this process was frozen for longer than a session lives, so that
   * others may have given it up; the session is renewed then.
   */
  renewIfFrozen(): boolean {
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

  /** Stops beating and leaves the CMDB, so that nobody has to judge. */
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
   * A live daemon of this machine that runs its containers elsewhere. If only its beats can prove it alive, they are waited for:
   * a daemon that was killed may have left its session behind.
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

import type { Logger } from 'pino';
import type { NodeSession } from '../membership/session.js';
import type { SessionTiming } from '../membership/session-timing.js';
import type { StoreHealth } from '../membership/store-health.js';
import type { StoreListener } from '../membership/store-listener.js';
import type { RuntimeName } from '../model/app.js';
import { sleep, type Timer } from '../model/clock.js';
import { isStoreAway } from '../model/errors.js';
import type { Runtime } from '../runtime/runtime.js';
import type { LocalApp } from '../uses/local-app.js';
import type { OwnedInstances } from '../uses/owned-instances.js';
import type { Uses } from '../uses/uses.js';
import { compare, seeOut, type Stray, type StraysOptions, takeIn } from './strays.js';

export interface RestorationOptions extends StraysOptions {
  readonly store: Pick<StoreHealth, 'complete'>;
  readonly session: Pick<NodeSession, 'ensureRegistered'>;
  readonly uses: Pick<Uses, 'renew'>;
  readonly owned: OwnedInstances;
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  readonly timing: Pick<SessionTiming, 'ttlMs'>;
  readonly logger: Logger;
  /** Called when a replaced store has back what it can get. */
  readonly onRestored: () => void;
}

/**
 * The way back from a replaced store that lacks what runs. In this order: boots wait; each node writes what it has in hand, the
 * instances that it uses, boots or ends, under its new session; then it takes in what else the runtimes of its host list.
 *
 * An app boots only once its runtime was listed, and all of its containers that this host lists are taken in or on their way out.
 * That seldom takes longer than a replaced store counts as incomplete, and at most twice that, whatever cannot be listed or does
 * not listen.
 */
export class Restoration implements StoreListener {
  readonly #options: RestorationOptions;
  /** Strays by id, and since when each is seen. */
  #seen = new Map<string, number>();
  /** Of each runtime that was listed, the apps of strays that are not settled. */
  #unsettled = new Map<RuntimeName, ReadonlySet<string>>();
  #begunAt = 0;
  #lastsMs = 0;
  #isWhole = true;
  #wake: (() => void)[] = [];
  #next: Timer | undefined;
  #limit: Timer | undefined;
  #looking: Promise<unknown> | undefined;
  #restoring: Promise<unknown> | undefined;
  /** Counts the stores that were replaced. */
  #replaced = 0;
  readonly #stop = new AbortController();

  constructor(options: RestorationOptions) {
    this.#options = options;
  }

  /** `start`: this node has just begun. `replaced`: its store is another one than before, and not complete for a while. */
  begin(why: 'start' | 'replaced'): void {
    const { clock, timing } = this.#options;
    if (this.#stop.signal.aborted) return;
    this.#begunAt = clock.monotonic();
    this.#lastsMs = why === 'replaced' ? timing.ttlMs : 0;
    this.#seen = new Map();
    // What a look under way finds belongs to what was before.
    this.#unsettled = new Map();
    this.#isWhole = false;
    this.#limit?.cancel();
    this.#limit = clock.after(2 * timing.ttlMs, () => this.#end());
    void this.#look();
  }

  /**
   * Writes what this node has in hand under its new session. A replaced store gets back what it lacks of it until `republishUntil`
   * (monotonic milliseconds); only then are apps read again, as what it lacks would seem gone.
   */
  async sessionRenewed(republishUntil?: number): Promise<void> {
    const { apps, uses } = this.#options;
    const restoring = republishUntil === undefined ? undefined : this.#restoreOwned(republishUntil);
    if (restoring) this.#restoring = Promise.all([this.#restoring, restoring]).then(() => {});
    await Promise.all([uses.renew(republishUntil), restoring]);
    if (restoring) void apps.refreshAll().catch(() => {});
  }

  storeReplaced(): void {
    this.begin('replaced');
  }

  /** Resolves when this app may boot. */
  async settled({ name, app }: Pick<LocalApp, 'name' | 'app'>): Promise<void> {
    await this.#options.store.complete();
    while (!this.#isSettled(name, app.runtime)) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#isWhole = true;
    this.#next?.cancel();
    this.#limit?.cancel();
    this.#wakeAll();
    await Promise.all([this.#looking, this.#restoring]);
  }

  /** Gives the store back what this node boots or ends; without it that would seem a stray until the next comparisons. */
  async #restoreOwned(until: number): Promise<void> {
    const { session, owned, clock, logger } = this.#options;
    const mine = (this.#replaced += 1);
    owned.doubt();
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        return await owned.restore(await session.ensureRegistered());
      } catch (error) {
        // The store was replaced once more: the restoration for that one goes on.
        if (mine !== this.#replaced) return;
        if (clock.monotonic() >= until || !isStoreAway(error)) {
          const what = 'could not write the claims of boots and terminations under way into the new store';
          return logger.warn({ err: error }, what);
        }
        await sleep(clock, restoreAgainMs, signal);
      }
    }
  }

  #isSettled(app: string, runtime: RuntimeName): boolean {
    if (this.#isWhole) return true;
    // An app whose runtime is not there cannot boot anyway.
    const isListed = this.#unsettled.has(runtime) || !this.#options.runtimes.has(runtime);
    return isListed && [...this.#unsettled.values()].every((apps) => !apps.has(app));
  }

  async #look(): Promise<void> {
    this.#next?.cancel();
    const { runtimes } = this.#options;
    const looks = () => Promise.all([...runtimes.values()].map((runtime) => this.#lookAt(runtime)));
    this.#looking ??= looks().finally(() => {
      this.#looking = undefined;
      this.#goOn();
    });
    await this.#looking;
  }

  async #thaw(runtime: Runtime, id: string): Promise<void> {
    await runtime.suspender?.resume(id).catch((error: unknown) => {
      this.#options.logger.debug(
        { err: error, instance: id },
        'a frozen instance cannot be resumed; the next comparison ends it',
      );
    });
  }

  async #lookAt(runtime: Runtime): Promise<void> {
    const unsettledNow = this.#unsettled;
    const apps = new Set<string>();
    try {
      for (const difference of await compare(this.#options, runtime)) {
        // A replaced store may have lost its pause, and requests go there. What cannot be resumed is ended by the next comparison.
        if (difference.kind === 'frozen') await this.#thaw(runtime, difference.id);
        if (difference.kind !== 'stray' || !difference.found.running) continue;
        if (!(await this.#settle(runtime, difference))) apps.add(difference.app);
      }
      unsettledNow.set(runtime.name, apps);
      this.#wakeAll();
    } catch (error) {
      const { name } = runtime;
      this.#options.logger.debug({ err: error, runtime: name }, 'looking for what the CMDB lost failed; looking again');
    }
  }

  /** False if it has to be looked at again before its app may boot. */
  async #settle(runtime: Runtime, stray: Stray): Promise<boolean> {
    const { clock, timing, logger } = this.#options;
    const { app, id } = stray;
    const seen = this.#seen;
    const since = seen.get(id) ?? clock.monotonic();
    seen.set(id, since);
    // By then the nodes that use, boot or end it have written what they know.
    if (clock.monotonic() - since < settleShare * timing.ttlMs) return false;
    const taken = await takeIn(this.#options, runtime, stray, true);
    if (taken === 'taken_in') logger.warn({ app, instance: id }, 'a container that the CMDB had lost is used again');
    return taken === 'unfit' ? this.#seeOut(runtime, stray) : taken !== 'deaf';
  }

  /**
   * Writes the end of a stray that does not fit, before its app boots, so that it counts as on its way out. False while the store may
   * be incomplete; a node that has just begun cannot tell, and waits as long.
   */
  async #seeOut(runtime: Runtime, stray: Stray): Promise<boolean> {
    const { clock, timing, logger } = this.#options;
    const { app, id } = stray;
    if (clock.monotonic() - this.#begunAt < timing.ttlMs) return false;
    await seeOut(this.#options, runtime, stray);
    logger.warn({ app, instance: id }, 'a container that the CMDB had lost does not fit its app; it ends');
    return true;
  }

  #goOn(): void {
    if (this.#isWhole) return;
    const { clock, timing, runtimes } = this.#options;
    const isLookedOver = [...runtimes.keys()].every((name) => this.#unsettled.get(name)?.size === 0);
    if (isLookedOver && clock.monotonic() - this.#begunAt >= this.#lastsMs) return this.#end();
    this.#next = clock.after(timing.ttlMs / looksPerTtl, () => void this.#look());
  }

  #end(): void {
    const { runtimes, logger, onRestored } = this.#options;
    const unlisted = [...runtimes.keys()].filter((name) => !this.#unsettled.has(name));
    const apps = [...this.#unsettled.values()].flatMap((unsettled) => [...unsettled]);
    if (unlisted.length > 0 || apps.length > 0) {
      logger.warn({ unlisted, apps }, 'not all that runs here could be compared with the CMDB; boots go on without');
    }
    this.#isWhole = true;
    this.#next?.cancel();
    this.#limit?.cancel();
    this.#wakeAll();
    if (this.#lastsMs > 0) onRestored();
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** Pause between attempts to write what a store lacks that is away. */
const restoreAgainMs = 1_000;
const looksPerTtl = 5;
/** Longer than a beat, with which every node learns of the replaced store. */
const settleShare = 0.4;

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
  /** A store that was replaced has back what it can get. */
  readonly onRestored: () => void;
}

/**
 * The way back from a store that was replaced and lacks what runs. In this order: boots wait; each node writes what it has in
 * hand, the instances it uses, boots or ends, under its new session; then it takes in what else its machine's runtimes list. Each
 * node lists its own machine, since what it boots must not come beside what it has not seen; what another one has taken in is known
 * to the CMDB by then.
 *
 * No app boots before this machine was looked over, nor while it runs a container of that app of which it is not known yet
 * whether it stays. That is so within the time for which a replaced store counts as incomplete, and after twice that time at
 * the latest, whatever cannot be listed or does not listen.
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
   * Writes what this node has in hand under its new session. A store that was replaced gets back what it lacks of it until
   * `republishUntil`, in monotonic milliseconds, and is read again when it has: it would seem gone before.
   */
  async sessionRenewed(republishUntil?: number): Promise<void> {
    const { apps, uses } = this.#options;
    const restoring = republishUntil === undefined ? undefined : this.#restoreOwned(republishUntil);
    this.#restoring = Promise.all([this.#restoring, restoring]);
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

  /** Without it what boots or ends here would seem a stray; that heals with the next comparisons. */
  async #restoreOwned(until: number): Promise<void> {
    const { session, owned, clock, logger } = this.#options;
    const mine = (this.#replaced += 1);
    owned.doubt();
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        return await owned.restore(await session.ensureRegistered());
      } catch (error) {
        // Replaced once more meanwhile: that restoration goes on with it.
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

  async #lookAt(runtime: Runtime): Promise<void> {
    const unsettledNow = this.#unsettled;
    const apps = new Set<string>();
    try {
      for (const difference of await compare(this.#options, runtime)) {
        if (difference.kind === 'gone' || !difference.found.running) continue;
        if (!(await this.#settle(runtime, difference))) apps.add(difference.app);
      }
      unsettledNow.set(runtime.name, apps);
      this.#wakeAll();
    } catch (error) {
      const { name } = runtime;
      this.#options.logger.debug({ err: error, runtime: name }, 'looking for what the CMDB lost failed; looking again');
    }
  }

  /** False where it is to be looked at again before its app may boot. */
  async #settle(runtime: Runtime, stray: Stray): Promise<boolean> {
    const { clock, timing, logger } = this.#options;
    const { app, id } = stray;
    const seen = this.#seen;
    const since = seen.get(id) ?? clock.monotonic();
    seen.set(id, since);
    // By then whoever uses it, boots it or ends it has heard of the loss and has written what it knows better.
    if (clock.monotonic() - since < settleShare * timing.ttlMs) return false;
    const taken = await takeIn(this.#options, runtime, stray, true);
    if (taken === 'taken_in') logger.warn({ app, instance: id }, 'a container that the CMDB had lost is used again');
    return taken === 'unfit' ? this.#seeOut(runtime, stray) : taken !== 'deaf';
  }

  /**
   * Nothing ends for not fitting while the store is incomplete, or may be: a node that has just begun cannot tell. Then its end
   * is written before its app boots anything, so that it counts among those on their way out.
   */
  async #seeOut(runtime: Runtime, stray: Stray): Promise<boolean> {
    const { clock, timing, logger } = this.#options;
    const { app, id } = stray;
    if (clock.monotonic() - this.#begunAt < timing.ttlMs) return false;
    await seeOut(this.#options, runtime, stray);
    logger.warn({ app, instance: id }, 'a container that the CMDB had lost has no room there any more; it ends');
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

/** While the store is away, what it may lack is written again this often. */
const restoreAgainMs = 1_000;
const looksPerTtl = 5;
/** More than one beat, in which every node hears of the loss. */
const settleShare = 0.4;

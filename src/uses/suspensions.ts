import type { Logger } from 'pino';
import type { DeploymentChange } from '../cmdb/cmdb.js';
import type { NodeSession } from '../membership/session.js';
import type { RuntimeName } from '../model/app.js';
import { type Clock, sleep } from '../model/clock.js';
import { findInstance } from '../model/deployment.js';
import { isStoreAway } from '../model/errors.js';
import { type Instance, sees, type Sight } from '../model/instance.js';
import { shared } from '../model/shared-work.js';
import {
  isAsked,
  mayFreeze,
  notPaused,
  paused,
  resumed,
  resumeFailed,
  startResume,
  takeSuspension,
} from '../model/suspension.js';
import type { Runtime, Suspender } from '../runtime/runtime.js';
import type { LocalApp } from './local-app.js';
import type { LocalApps } from './local-apps.js';
import type { Uses } from './uses.js';

export interface SuspensionsOptions {
  readonly apps: LocalApps;
  readonly uses: Pick<Uses, 'takeUp' | 'disown' | 'releaseIdle'>;
  readonly session: Pick<NodeSession, 'incarnation' | 'ensureRegistered'>;
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  readonly sight: Sight;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onPause: (runtime: RuntimeName, result: 'paused' | 'failed') => void;
  readonly onResume: (runtime: RuntimeName, result: 'ready' | 'failed', durationMs: number) => void;
}

/** Pause between attempts to write what is done while the store cannot be reached. */
const rewriteMs = 500;

/**
 * Pauses and resumes instances of this host, as it is written in the CMDB. Written first is what is about to be done, so that no node
 * begins to use an instance that is being frozen, and each is thawed before it is ready again.
 */
export class Suspensions {
  readonly #options: SuspensionsOptions;
  /** By state, instance id and deadline. */
  readonly #underWay = new Map<string, Promise<void>>();
  #stopped = false;

  constructor(options: SuspensionsOptions) {
    this.#options = options;
  }

  /** Begins nothing more; resolves when what is under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#underWay.values());
  }

  /** Freezes, in the background, an instance that was just written as pausing by this node. */
  pause(app: string, instance: Instance): void {
    const { owner } = instance;
    if (this.#stopped || owner === undefined) return;
    void this.#begin(app, instance, () => this.#pause(app, instance, owner));
  }

  /**
   * Writes that an instance is to be resumed, and if this node sees it, thaws it. Resolves once that is written, to the rest: it resolves
   * when this node has done its part. Throws if the store is away.
   */
  async resume(local: LocalApp, id: string): Promise<{ readonly done: Promise<void> }> {
    const { apps, session, clock } = this.#options;
    const me = await session.ensureRegistered();
    const { deployment } = await apps.update(local.name, (current) => {
      const instance = findInstance(current, id);
      const doer = instance && this.#suspenderOf(instance) ? { owner: me } : { askedBy: me };
      return this.#stopped ? current : startResume(current, id, doer, clock.now());
    });
    const instance = findInstance(deployment, id);
    if (instance?.state !== 'resuming' || instance.owner !== me) return { done: Promise.resolve() };
    return { done: this.#begin(local.name, instance, () => this.#resume(local.name, instance, me)) };
  }

  /** Takes up, in the background, what nodes of other hosts ask of this one. */
  takeUp(app: string): void {
    if (!this.#stopped) void this.#takeUp(app).catch((error: unknown) => this.#logPutOff(app, error));
  }

  async #takeUp(app: string): Promise<void> {
    const { apps, session, clock } = this.#options;
    const local = await apps.load(app);
    if (!local) return;
    await apps.during(local, async () => {
      const asked = local.deployment.instances.filter((each) => isAsked(each) && this.#suspenderOf(each));
      for (const { id } of asked) {
        const me = await session.ensureRegistered();
        const { before, deployment } = await apps.update(app, (known) => takeSuspension(known, id, me, clock.now()));
        const instance = findInstance(deployment, id);
        const wasAsked = findInstance(before, id)?.owner === undefined;
        if (!instance || !wasAsked || instance.owner !== me) continue;
        if (instance.state === 'pausing') this.pause(app, instance);
        if (instance.state === 'resuming') void this.#begin(app, instance, () => this.#resume(app, instance, me));
      }
    });
  }

  /** Never rejects. */
  #begin(app: string, { id, state, deadlineAt }: Instance, work: () => Promise<void>): Promise<void> {
    return shared(this.#underWay, `${state} ${id} ${deadlineAt}`, () =>
      work().catch((error: unknown) => this.#logPutOff(app, error)),
    );
  }

  #logPutOff(app: string, error: unknown): void {
    const message = 'could not write that an instance is paused or ready again; it is settled later';
    this.#options.logger.debug({ err: error, app }, message);
  }

  async #pause(app: string, instance: Instance, owner: string): Promise<void> {
    const { apps, clock, logger, onPause } = this.#options;
    const { id, runtime } = instance;
    const suspender = this.#suspenderOf(instance);
    // This process may have stood still since it was written.
    if (!suspender || !mayFreeze(instance, clock.now())) {
      await this.#write(app, instance, (current) => notPaused(current, id, owner, suspender === undefined));
      return;
    }
    try {
      await suspender.suspend(id);
    } catch (error) {
      logger.warn(
        { err: error, app, instance: id },
        'could not pause an instance; it runs on, and is not paused again',
      );
      onPause(runtime, 'failed');
      await suspender.resume(id);
      await this.#write(app, instance, (current) => notPaused(current, id, owner, true));
      return;
    }
    const isWritten = await apps
      .update(app, (current) => paused(current, id, owner))
      .then(
        ({ deployment }) => findInstance(deployment, id)?.state === 'paused',
        (error: unknown) => {
          this.#logPutOff(app, error);
          return false;
        },
      );
    if (!isWritten) {
      // Settled by others meanwhile, or it cannot be told: running is what does no harm, whatever it is written as.
      await suspender.resume(id);
      await this.#write(app, instance, (current) => notPaused(current, id, owner, false));
      return;
    }
    logger.info({ app, instance: id }, 'paused');
    onPause(runtime, 'paused');
  }

  async #resume(app: string, instance: Instance, owner: string): Promise<void> {
    const { apps, uses, session, clock, logger, onResume } = this.#options;
    const { id, runtime, askedBy } = instance;
    const from = clock.monotonic();
    try {
      await this.#suspenderOf(instance)?.resume(id);
    } catch (error) {
      logger.warn({ err: error, app, instance: id }, 'could not resume a paused instance; it ends');
      onResume(runtime, 'failed', clock.monotonic() - from);
      await this.#write(app, instance, (current) => resumeFailed(current, id, owner, clock.now()));
      return;
    }
    const local = await apps.load(app);
    if (!local) return;
    await apps.during(local, async () => {
      try {
        await this.#write(app, instance, (current) =>
          resumed(current, id, { owner, user: session.incarnation }, clock.now()),
        );
      } catch (error) {
        // An attempt of unknown outcome may have made this node its user.
        uses.disown(app, id);
        throw error;
      }
      const ms = clock.monotonic() - from;
      if (!uses.takeUp(local, id)) return uses.disown(app, id);
      logger.info({ app, instance: id, ms: Math.round(ms) }, 'resumed');
      onResume(runtime, 'ready', ms);
      // Requests for it arrive elsewhere: a node that is no user takes no share of it.
      if (askedBy !== undefined) await uses.releaseIdle(app, id);
    });
  }

  /**
   * Writes what is done, unless others have settled it. Tries again while the store is away: the requests of the app wait for it. By its
   * deadline a pause or resume is told from later ones of this node.
   */
  async #write(app: string, { id, deadlineAt }: Instance, change: DeploymentChange): Promise<void> {
    const { apps, clock } = this.#options;
    for (;;) {
      try {
        await apps.update(app, (current, stored) =>
          findInstance(current, id)?.deadlineAt === deadlineAt ? change(current, stored) : current,
        );
        return;
      } catch (error) {
        if (this.#stopped || !isStoreAway(error)) throw error;
        await sleep(clock, rewriteMs);
      }
    }
  }

  /** What freezes an instance; undefined if this node does not see it, or its runtime cannot. */
  #suspenderOf(instance: Pick<Instance, 'host' | 'runtime' | 'runtimeId'>): Suspender | undefined {
    const { sight, runtimes } = this.#options;
    return sees(sight, instance) ? runtimes.get(instance.runtime)?.suspender : undefined;
  }
}

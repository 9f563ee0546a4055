import type { Logger } from 'pino';
import type { LocalApps } from '../uses/local-apps.js';
import type { OwnedInstances } from '../uses/owned-instances.js';
import type { Cmdb } from '../cmdb/cmdb.js';
import type { RuntimeName } from '../model/app.js';
import { confirmGone, findInstance } from '../model/deployment.js';
import { Lru } from '../model/lru.js';
import type { Clock } from '../model/clock.js';
import type { EndReason } from '../model/instance.js';
import type { Ran } from '../model/usage.js';
import { shared } from '../model/shared-work.js';
import type { Runtime } from '../runtime/runtime.js';
import { timesOf } from './times.js';

export interface TerminatorOptions {
  readonly cmdb: Cmdb;
  readonly apps: LocalApps;
  readonly owned: OwnedInstances;
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
  readonly onTerminated: (runtime: RuntimeName, reason: EndReason) => void;
}

const mostEnded = 1_000;

/** Ends instances that are written as terminating: stops the container, and removes the instance once the runtime confirms its end. */
export class Terminator {
  readonly #options: TerminatorOptions;
  readonly #running = new Map<string, Promise<void>>();
  /** Containers that have ended and whose instances are still in the store, which another node may remove. */
  readonly #ended = new Lru<string, Ran>(mostEnded);

  constructor(options: TerminatorOptions) {
    this.#options = options;
  }

  /** Concurrent calls for one instance share the work. After a failure the reaper tries again. Never throws. */
  terminate(app: string, id: string): Promise<void> {
    return shared(this.#running, id, () => this.#terminate(app, id));
  }

  /** Resolves when nothing is being terminated. */
  async settled(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  async #terminate(app: string, id: string): Promise<void> {
    const { cmdb, apps, owned, runtimes, clock, logger, onTerminated } = this.#options;
    try {
      const record = await cmdb.find({ app });
      const instance = record && findInstance(record.deployment, id);
      if (!record || instance?.state !== 'terminating') return;
      const runtime = runtimes.get(instance.runtime);
      if (!runtime) throw new Error(`the runtime '${instance.runtime}' is not configured on this machine`);
      const { identity } = runtime;
      if (identity && instance.runtimeId !== undefined && identity.id !== instance.runtimeId) {
        throw new Error(`it is not in ${identity.place}: whether it runs cannot be seen from here`);
      }
      const ending = { app: record.app, instance, owner: instance.owner ?? '' };
      owned.add(ending);
      const found = this.#ended.get(id) ?? (await timesOf(runtime, id));
      await runtime.stop(id, record.app.stopTimeoutMs).finally(() => owned.delete(ending));
      const ran: Ran = { ...found, endedAt: found.endedAt ?? clock.now() };
      // Should the store be away by now, it is told later.
      this.#ended.set(id, ran);
      await apps.update(app, (deployment) => confirmGone(deployment, id), { ran });
      this.#ended.delete(id);
      const reason = instance.end?.reason ?? 'orphaned';
      logger.info({ app, instance: id, reason }, 'terminated');
      onTerminated(instance.runtime, reason);
    } catch (error) {
      logger.error({ err: error, app, instance: id }, 'terminating an instance failed; it is tried again');
    }
  }
}

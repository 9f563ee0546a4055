import type { Logger } from 'pino';
import type { LocalApps } from '../uses/local-apps.js';
import type { Cmdb } from '../cmdb/cmdb.js';
import type { RuntimeName } from '../model/app.js';
import { addInstance, confirmGone, findInstance } from '../model/deployment.js';
import type { EndReason, Instance } from '../model/instance.js';
import type { Runtime } from '../runtime/runtime.js';

export interface TerminatorOptions {
  readonly cmdb: Cmdb;
  readonly apps: LocalApps;
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  readonly logger: Logger;
  readonly onTerminated: (runtime: RuntimeName, reason: EndReason) => void;
}

/** Carries out written dooms: stops the container, and removes the instance only after the runtime confirmed its death. */
export class Terminator {
  readonly #options: TerminatorOptions;
  readonly #running = new Map<string, Promise<void>>();
  /** What the runtime is about to stop, by id, with its app. */
  readonly #doomed = new Map<string, { readonly app: string; readonly instance: Instance }>();

  constructor(options: TerminatorOptions) {
    this.#options = options;
  }

  /** Ends an instance that is written as terminating. Concurrent calls share one; what fails is tried again by the reaper. */
  terminate(app: string, id: string): Promise<void> {
    const running = this.#running.get(id) ?? this.#terminate(app, id).finally(() => this.#running.delete(id));
    this.#running.set(id, running);
    return running;
  }

  /** Resolves when nothing is being terminated. */
  async settled(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  /** A store that was replaced may have lost dooms that are being carried out: writes them anew. Throws what the store throws. */
  async restore(owner: string): Promise<void> {
    await Promise.all(
      [...this.#doomed.values()].map(({ app, instance }) =>
        this.#options.apps.update(app, (deployment) => {
          // Gone while this was on its way.
          return this.#doomed.has(instance.id) ? addInstance(deployment, { ...instance, owner, users: {} }) : deployment;
        }),
      ),
    );
  }

  async #terminate(app: string, id: string): Promise<void> {
    const { cmdb, apps, runtimes, logger, onTerminated } = this.#options;
    try {
      const record = await cmdb.find({ app });
      const instance = record && findInstance(record.deployment, id);
      if (instance?.state !== 'terminating') return;
      const runtime = runtimes.get(instance.runtime);
      if (!runtime) throw new Error(`the runtime '${instance.runtime}' is not configured on this machine`);
      const { identity } = runtime;
      if (identity && instance.runtimeId !== undefined && identity.id !== instance.runtimeId) {
        throw new Error(`it is not in ${identity.place}: whether it runs cannot be seen from here`);
      }
      this.#doomed.set(id, { app, instance });
      await runtime.stop(id, record?.app.stopTimeoutMs ?? 0).finally(() => this.#doomed.delete(id));
      await apps.update(app, (deployment) => confirmGone(deployment, id));
      const reason = instance.end?.reason ?? 'orphaned';
      logger.info({ app, instance: id, reason }, 'terminated');
      onTerminated(instance.runtime, reason);
    } catch (error) {
      logger.error({ err: error, app, instance: id }, 'terminating an instance failed; it is tried again');
    }
  }
}

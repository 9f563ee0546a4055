import type { Logger } from 'pino';
import type { Seat } from '../uses/seat.js';
import type { Exit, Runtime } from '../runtime/runtime.js';
import { shared } from '../model/shared-work.js';

export interface InstanceCheckOptions {
  /** The runtime that holds a seat's instance; undefined if it is on another host. */
  readonly runtimeOf: (seat: Seat) => Runtime | undefined;
  /** Removes an instance that was found dead. */
  readonly onDead: (runtime: Runtime, exit: Exit) => Promise<void>;
  /** Looks at an instance of another host. */
  readonly remote: { isAlive(seat: Seat): Promise<boolean> };
  readonly logger: Logger;
}

/** Asks the runtime about an instance that does not answer: a dead one is removed, so that the next step boots anew. */
export class InstanceCheck {
  readonly #options: InstanceCheckOptions;
  readonly #checking = new Map<string, Promise<boolean>>();

  constructor(options: InstanceCheckOptions) {
    this.#options = options;
  }

  /**
   * Whether its container still runs; true if that cannot be known. Concurrent callers share one look. A look at another host takes
   * long: callers that cannot wait (`mayWait` is false) get true.
   */
  isAlive(seat: Seat, mayWait = true): Promise<boolean> {
    const checking = shared(this.#checking, seat.instanceId, () => this.#look(seat));
    return mayWait || this.#options.runtimeOf(seat) ? checking : Promise.resolve(true);
  }

  async #look(seat: Seat): Promise<boolean> {
    const { app, instanceId } = seat;
    const runtime = this.#options.runtimeOf(seat);
    const onUnknown = (error: unknown) => {
      this.#options.logger.debug({ err: error, instance: instanceId }, 'it cannot be known whether the instance runs');
    };
    if (!runtime) return (await this.#options.remote.isAlive(seat).catch(onUnknown)) ?? true;
    const inspection = await runtime.inspect(instanceId).catch(onUnknown);
    if (!inspection || inspection.state === 'running') return true;
    const exit = { id: instanceId, app: app.name };
    if (inspection.state === 'gone') await this.#options.onDead(runtime, { ...exit, cause: 'the container is gone' });
    else await this.#options.onDead(runtime, { ...exit, cause: inspection.cause, endedAt: inspection.endedAt });
    return false;
  }
}

import type { Logger } from 'pino';
import { type Probe, takesConnection } from '../machine/probe.js';
import type { LocalApps } from './local-apps.js';
import type { StoreHealth } from '../membership/store-health.js';
import type { Use } from './use.js';
import type { Uses } from './uses.js';
import type { Clock, Timer } from '../model/clock.js';

export interface AddressWatchOptions {
  readonly apps: LocalApps;
  readonly uses: Pick<Uses, 'end'>;
  readonly store: Pick<StoreHealth, 'outage' | 'answeredAt'>;
  readonly probe: Probe;
  readonly clock: Clock;
  readonly logger: Logger;
}

const tickMs = 10_000;
/** With a tick, a late event loop and what the change log may lag, well within the minute that a freed address rests. */
const proofMs = 25_000;
const looksAtOnce = 100;

/**
 * While the store is away, this node does not learn that an instance is gone and its address another app's. A freed address rests for
 * a minute, so one that keeps taking connections was not freed; a use whose address takes none for too long ends. Costs nothing
 * while the store answers.
 */
export class AddressWatch {
  readonly #options: AddressWatchOptions;
  /** When the last successful attempt to connect began, in monotonic milliseconds. */
  #provedAt = new WeakMap<Use, number>();
  #looking = false;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: AddressWatchOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(tickMs, () => {
      if (this.#options.store.outage !== undefined) this.#tick();
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #tick(): void {
    const { apps, uses, store, clock, logger } = this.#options;
    const open = [...apps.values()].flatMap((local) => [...local.uses.values()]);
    const now = clock.monotonic();
    for (const use of open) {
      if (now - Math.max(store.answeredAt, this.#provedAt.get(use) ?? -Infinity) < proofMs) continue;
      const { local, instanceId, address } = use;
      logger.warn(
        { app: local.name, instance: instanceId, address },
        'the CMDB is away and the instance takes no connections: its address may become that of another app, nothing more is sent there',
      );
      uses.end(local, instanceId, 'instance_gone');
    }
    if (!this.#looking) void this.#look(open.filter((use) => use.isCurrent));
  }

  async #look(uses: readonly Use[]): Promise<void> {
    const { probe, clock } = this.#options;
    const left = uses.values();
    const lookOn = async () => {
      for (const use of left) {
        const from = clock.monotonic();
        if (await takesConnection(use.address, probe, clock)) this.#provedAt.set(use, from);
      }
    };
    this.#looking = true;
    await Promise.all(Array.from({ length: looksAtOnce }, lookOn));
    this.#looking = false;
  }
}

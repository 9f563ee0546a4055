import type { LocalApps } from '../uses/local-apps.js';
import type { Seat } from '../uses/seat.js';
import type { Peers } from '../membership/peers.js';
import type { StoreHealth } from '../membership/store-health.js';
import { type Clock, sleep } from '../model/clock.js';
import { type Deployment, findInstance } from '../model/deployment.js';
import { type Probe, takesConnection } from '../machine/probe.js';

export interface RemoteCheckOptions {
  readonly apps: Pick<LocalApps, 'get'>;
  readonly store: Pick<StoreHealth, 'outage'>;
  readonly peers: Pick<Peers, 'isSeen' | 'hasBeatenSince'>;
  readonly probe: Probe;
  readonly clock: Clock;
  /** Removes what no live node can reach. */
  readonly removeOutOfReach: (deployment: Deployment) => Promise<void>;
  /** Longest time until a machine that is silent is known to be: the session's TTL, two seconds, and a beat. */
  readonly limitMs: number;
}

const pauseMs = 100;

/**
 * What became of an instance of another machine that refused a connection. Its container cannot be looked at from here: its
 * own nodes see it end and remove it. If none of them lives it is gone with its machine, which takes as long to tell as
 * a session lives; a request that can wait is then served by the next instance, and not refused.
 */
export class RemoteCheck {
  readonly #options: RemoteCheckOptions;

  constructor(options: RemoteCheckOptions) {
    this.#options = options;
  }

  /** False where it is in the CMDB no more. True where it answers again, or its machine's nodes live and leave it there. */
  async isAlive({ app, instanceId, address }: Seat): Promise<boolean> {
    const { store, peers, probe, clock, limitMs, removeOutOfReach } = this.#options;
    const from = clock.monotonic();
    while (clock.monotonic() - from < limitMs && store.outage === undefined) {
      const deployment = this.#options.apps.get(app.name)?.deployment;
      const instance = deployment && findInstance(deployment, instanceId);
      if (!deployment || !instance) return false;
      if (await takesConnection(address, probe, clock)) return true;
      if (peers.hasBeatenSince(instance, from)) return true;
      if (!peers.isSeen(instance)) await removeOutOfReach(deployment);
      await sleep(clock, pauseMs);
    }
    return true;
  }
}

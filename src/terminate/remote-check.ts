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
  /** Upper bound for a look, in milliseconds: time enough to notice that the sessions of a host fell silent. */
  readonly limitMs: number;
}

const pauseMs = 100;

/**
 * Finds out what became of an instance of another host that refused a connection. Only nodes of that host see its container, and
 * remove what has ended. If none of them lives, the instance is removed from here once their sessions have fallen silent.
 */
export class RemoteCheck {
  readonly #options: RemoteCheckOptions;

  constructor(options: RemoteCheckOptions) {
    this.#options = options;
  }

  /** False if the CMDB no longer has it. True if it answers again, or a node of its host lives and has left it there. */
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

import type { Logger } from 'pino';
import { type Probe, takesConnection } from '../machine/probe.js';
import type { LocalApps } from '../uses/local-apps.js';
import type { Peers } from '../membership/peers.js';
import type { NodeSession } from '../membership/session.js';
import type { Uses } from '../uses/uses.js';
import type { Clock } from '../model/clock.js';
import { type Deployment, findInstance } from '../model/deployment.js';
import { type Instance, isSuspended } from '../model/instance.js';
import { type HostView, outOfReach, removeOutOfReach } from './silent-host-policy.js';

export interface SilentHostsOptions {
  readonly apps: LocalApps;
  readonly uses: Uses;
  readonly session: NodeSession;
  readonly peers: Peers;
  readonly probe: Probe;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onRemoved: (instance: Instance) => void;
}

/**
 * Removes the instances of a host without a live node if they do not answer either, so that the next request boots elsewhere. If the
 * host comes back, its nodes find them as strays.
 */
export class SilentHosts {
  readonly #options: SilentHostsOptions;

  constructor(options: SilentHostsOptions) {
    this.#options = options;
  }

  /** Looks at one app. Costs nothing while every host lives. Throws if the store is away. */
  async remove(deployment: Deployment): Promise<void> {
    const { app } = deployment;
    const suspects = outOfReach(deployment, this.#view);
    if (suspects.length === 0) return;
    const { probe, clock } = this.#options;
    const answers = await Promise.all(
      // A claim has no address: as its host is silent, no node carries it out, nor does one resume what is paused there.
      suspects.map(async (suspect) => {
        const { address } = suspect;
        return address !== undefined && !isSuspended(suspect) && takesConnection(address, probe, clock);
      }),
    );
    const silent = suspects.filter((_, index) => answers[index] === false);
    if (silent.length > 0) await this.#remove(app, new Set(silent.map(({ id }) => id)));
  }

  get #view(): HostView {
    const { session, peers, clock } = this.#options;
    return {
      now: clock.now(),
      me: session.incarnation,
      verdict: (user) => session.verdict(user),
      isSeen: (location) => peers.isSeen(location),
    };
  }

  async #remove(app: string, ids: ReadonlySet<string>): Promise<void> {
    const { apps, uses, logger, onRemoved } = this.#options;
    const local = apps.get(app);
    // Its requests to them end at once.
    for (const id of ids) if (local) uses.end(local, id, 'instance_gone');
    const { before, deployment } = await apps.update(app, (current) => removeOutOfReach(current, ids, this.#view));
    for (const id of ids) {
      const removed = findInstance(before, id);
      if (!removed || findInstance(deployment, id)) continue;
      logger.warn(
        { app, instance: id, host: removed.host, address: removed.address, state: removed.state },
        'the host of the instance has no live node and does not answer: the instance is given up, the next request boots elsewhere',
      );
      onRemoved(removed);
    }
  }
}

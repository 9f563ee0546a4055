import type { Peers } from '../membership/peers.js';
import type { App } from '../model/app.js';
import type { Deployment } from '../model/deployment.js';
import type { Location } from '../model/instance.js';
import { bootHostOf } from '../model/pin.js';

/** The host on which an app has to boot: another one, or this one if its name is another's as well. */
export interface BootHost {
  readonly host: string;
  /** Why it cannot boot there now: `message` for clients, `cause` for the operator. */
  readonly problem?: { readonly message: string; readonly cause: string };
}

export interface BootHostsOptions {
  readonly peers: Pick<Peers, 'isHostLive' | 'isSeen' | 'rival'>;
  /** Name of this machine. */
  readonly host: string;
  /** Whether there are several hosts, so that the data of a local mount is on one of them only. */
  readonly pins: boolean;
}

const howTo = 'see "Pinned apps" in docs/operations.md';

/** Where an app has to boot whose data is on one host. */
export class BootHosts {
  readonly #options: BootHostsOptions;

  constructor(options: BootHostsOptions) {
    this.#options = options;
  }

  /** Whether a node lives that can resume an instance there. */
  reaches(location: Location): boolean {
    return this.#options.peers.isSeen(location);
  }

  /** Undefined if the app may boot here. */
  of({ app, deployment }: { readonly app: App; readonly deployment: Deployment }): BootHost | undefined {
    const { peers, host: here, pins } = this.#options;
    const host = pins ? bootHostOf(deployment, app) : undefined;
    if (host === undefined) return undefined;
    if (host !== here) return peers.isHostLive(host) ? { host } : { host, problem: noneThere(app.name, host) };
    return peers.rival ? { host, problem: twoOfThem(app.name, host) } : undefined;
  }
}

function noneThere(app: string, host: string) {
  return {
    message: `The data of this app is on the machine ${host}, where no dispatcher runs.`,
    cause: `app ${app} is pinned to ${host}, which holds its local mounts and has no live dispatcher: start it there, or move the app (${howTo})`,
  };
}

function twoOfThem(app: string, host: string) {
  return {
    message: `The data of this app is on the machine ${host}, and two machines go by that name.`,
    cause: `app ${app} is pinned to ${host}, and another machine has the same node.host: give each its own (${howTo})`,
  };
}

import type { LocalApp } from '../uses/local-app.js';
import type { Peers } from '../membership/peers.js';
import { homeOf } from '../model/pin.js';

/** Another machine on which an app has to boot, or this one where it cannot be trusted to hold the app's data. */
export interface Home {
  readonly host: string;
  /** Why it cannot boot there at the moment: what clients are told, and what the operator is. */
  readonly problem?: { readonly message: string; readonly cause: string };
}

export interface HomesOptions {
  readonly peers: Pick<Peers, 'isHostLive' | 'rival'>;
  /** Name of this machine. */
  readonly host: string;
  /** Whether there are several machines, so that the data of a local mount is on one of them only. */
  readonly pins: boolean;
}

const howTo = 'see "Pinned apps" in docs/operations.md';

/** Where apps have to boot whose data is on one machine. */
export class Homes {
  readonly #options: HomesOptions;

  constructor(options: HomesOptions) {
    this.#options = options;
  }

  /** Undefined where the app may boot here. */
  of({ name, app, deployment }: Pick<LocalApp, 'name' | 'app' | 'deployment'>): Home | undefined {
    const { peers, host: here, pins } = this.#options;
    const host = pins ? homeOf(deployment, app) : undefined;
    if (host === undefined) return undefined;
    if (host !== here) return peers.isHostLive(host) ? { host } : { host, problem: noneThere(name, host) };
    return peers.rival ? { host, problem: twoOfThem(name, host) } : undefined;
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

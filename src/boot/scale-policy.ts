import type { App } from '../model/app.js';
import type { Deployment } from '../model/deployment.js';
import type { BootHosts } from './boot-hosts.js';

/** What this node has under way at an instance that it uses, and its share of the target. */
export interface UseLoad {
  readonly inflight: number;
  readonly target: number;
}

/** What is known on this node when it decides whether an app needs another instance. */
export interface Need {
  readonly deployment: Deployment;
  readonly app: App;
  /** By instance id. */
  readonly uses: ReadonlyMap<string, UseLoad>;
  /** Requests of this node that wait. */
  readonly waiting: number;
  /** A seat is free that none of the requests that wait may have. */
  readonly heldBack?: boolean;
  /** Boots of this node that have not written their claim yet. */
  readonly unclaimed: number;
  /** This node's session. */
  readonly me: string;
  readonly hosts: Pick<BootHosts, 'of' | 'reaches'>;
}

/**
 * Requests of this node beyond what its instances take at their target: those that wait, and those in flight above it.
 * None while an instance has room: it takes what comes next, unless that is held back for other clients.
 */
export function excess({ deployment, uses, waiting, heldBack = false }: Need): number {
  let room = 0;
  let over = 0;
  for (const { id, state } of deployment.instances) {
    const use = state === 'ready' ? uses.get(id) : undefined;
    if (use === undefined) continue;
    if (use.inflight < use.target) room += use.target - use.inflight;
    else over += use.inflight - use.target;
  }
  if (waiting > 0 && heldBack) room = 0;
  return waiting === 0 && room > 0 ? 0 : Math.max(0, waiting + over - room);
}

/** Requests that boots and resumes under way will take: a whole target each, half of it if another node does it for its own need. */
export function coming({ deployment, app, unclaimed, me }: Need): number {
  const { target } = app.concurrency;
  let capacity = unclaimed * target;
  for (const { state, owner, askedBy } of deployment.instances) {
    if (state === 'booting' || state === 'resuming' || state === 'pausing')
      capacity += owner === me || askedBy === me ? target : Math.ceil(target / 2);
  }
  return capacity;
}

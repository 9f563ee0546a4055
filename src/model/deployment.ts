import type { App } from './app.js';
import type { Address, EndReason, Instance, InstanceState } from './instance.js';
import { transitions } from './instance.js';
import { type Breaker, nextBreaker } from './breaker.js';

/** The CMDB document that holds all instances of one app. Immutable; every change is a function in this file. */
export interface Deployment {
  readonly app: string;
  readonly instances: readonly Instance[];
  /** Present after a failed boot until one succeeds. */
  readonly breaker?: Breaker;
}

/** An instance that dies this soon after it became ready counts as a failed boot, so that a crash loop backs off. */
export const youngDeathMs = 10_000;

export function emptyDeployment(app: string): Deployment {
  return { app, instances: [] };
}

export function findInstance(deployment: Deployment, id: string): Instance | undefined {
  return deployment.instances.find((instance) => instance.id === id);
}

/** Instances that count against scale.max: all but those on their way out. */
export function standing(deployment: Deployment): readonly Instance[] {
  return deployment.instances.filter(({ state }) => state !== 'draining' && state !== 'terminating');
}

export interface BootClaim {
  readonly id: string;
  readonly revision: string;
  readonly host: string;
  readonly owner: string;
}

/**
 * Whether the app may have one more instance: never more than `scale.max` that stand, and at most one beyond it while
 * others are on their way out.
 */
export function mayBoot(deployment: Deployment, app: App, now: number): boolean {
  const counted = deployment.instances.filter((instance) => counts(instance, app, now)).length;
  return standing(deployment).length < app.scale.max && counted <= app.scale.max;
}

/** Claims the boot of one more instance, or returns the deployment as it is where the app may have no more. */
export function claimBoot(deployment: Deployment, app: App, claim: BootClaim, now: number): Deployment {
  if (findInstance(deployment, claim.id) || !mayBoot(deployment, app, now)) return deployment;
  const instance: Instance = {
    ...claim,
    runtime: app.runtime,
    state: 'booting',
    deadlineAt: now + bootDeadlineMs(app),
    bootedAt: now,
    lastActiveAt: now,
    users: {},
    boot: {},
    ...(deployment.breaker ? { failuresBefore: deployment.breaker.failures } : {}),
  };
  return { ...deployment, instances: [...deployment.instances, instance] };
}

/** How long a claim stands: the boot's own limit and the time to clean up after it. */
export function bootDeadlineMs(app: App): number {
  return app.bootTimeoutMs + 2 * app.stopTimeoutMs;
}

/** Past drainTimeout and twice stopTimeout an instance on its way out no longer counts against scale.max. */
function counts(instance: Instance, app: App, now: number): boolean {
  return instance.end === undefined || now < instance.end.since + app.drainTimeoutMs + 2 * app.stopTimeoutMs;
}

export interface ReadyReport {
  readonly address: Address;
  readonly boot: Readonly<Record<string, number>>;
  /** Session that booted it; becomes its first user. */
  readonly user: string;
  /** Session under which it was claimed, where the node's session was renewed since. */
  readonly claimedBy?: string;
}

/** A claimed boot succeeded. Unchanged where the claim is gone: its booter came late and must terminate what it started. */
export function bootSucceeded(deployment: Deployment, id: string, report: ReadyReport, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'booting' || instance.owner !== (report.claimedBy ?? report.user)) return deployment;
  const { breaker: _reset, ...rest } = replace(deployment, id, (booting) => ({
    ...disown(move(booting, 'ready')),
    address: report.address,
    boot: report.boot,
    readyAt: now,
    lastActiveAt: now,
    users: { [report.user]: { since: now } },
  }));
  return rest;
}

export interface BootFailure {
  readonly code: 'boot_failed' | 'boot_timeout';
  readonly message: string;
}

/**
 * A claimed boot failed: opens the breaker and writes the doom of whatever was started. Unchanged where the claim is
 * gone or not the terminator's: then somebody else has seen to it.
 */
export function bootFailed(
  deployment: Deployment,
  id: string,
  failure: BootFailure,
  termination: Termination & { readonly claimedBy?: string },
  now: number,
): Deployment {
  const instance = findInstance(deployment, id);
  const claimedBy = termination.claimedBy ?? termination.owner;
  if (instance?.state !== 'booting' || instance.owner !== claimedBy) return deployment;
  const doomed = startTerminate(deployment, id, termination, now);
  return { ...doomed, breaker: nextBreaker(instance.failuresBefore ?? 0, failure, now) };
}

/** A container that runs but is in no document joins as ready. Unchanged where the id is known. */
export function adopt(deployment: Deployment, instance: Instance): Deployment {
  if (findInstance(deployment, instance.id)) return deployment;
  return { ...deployment, instances: [...deployment.instances, instance] };
}

/** Registers a session as user of a ready instance. Unchanged where the instance is not ready or not there. */
export function registerUser(deployment: Deployment, id: string, user: string, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'ready') return deployment;
  const known = instance.users[user];
  if (known && known.quietSince === undefined) return deployment;
  return replace(deployment, id, (ready) => ({
    ...ready,
    users: { ...ready.users, [user]: { since: known?.since ?? now } },
  }));
}

/** A user reports that only silent WebSockets hold the instance since `lastActiveAt`. */
export function quietUser(deployment: Deployment, id: string, user: string, lastActiveAt: number): Deployment {
  const instance = findInstance(deployment, id);
  const known = instance?.users[user];
  if (!instance || !known) return deployment;
  return replace(deployment, id, (used) => ({
    ...used,
    lastActiveAt: Math.max(used.lastActiveAt, lastActiveAt),
    users: { ...used.users, [user]: { ...known, quietSince: lastActiveAt } },
  }));
}

/** A user will send nothing more; `lastActiveAt` is the true time of its last activity. */
export function releaseUser(deployment: Deployment, id: string, user: string, lastActiveAt: number): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance?.users[user]) return deployment;
  return replace(deployment, id, (used) => {
    const { [user]: _released, ...users } = used.users;
    return { ...used, users, lastActiveAt: Math.max(used.lastActiveAt, lastActiveAt) };
  });
}

/** Users whose sessions are gone are dropped; when they last sent something is unknown, so now counts as activity. */
export function dropUsers(deployment: Deployment, gone: (user: string) => boolean, now: number): Deployment {
  return deployment.instances.reduce(
    (result, instance) =>
      Object.keys(instance.users)
        .filter(gone)
        .reduce((dropped, user) => releaseUser(dropped, instance.id, user, now), result),
    deployment,
  );
}

/** Ready → draining: users send nothing new, finish, and release. A paused or never-ready instance has nothing to drain. */
export function startDrain(deployment: Deployment, id: string, reason: EndReason, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'ready') return deployment;
  return replace(deployment, id, (ready) => ({ ...move(ready, 'draining'), end: { reason, since: now } }));
}

export interface Termination {
  readonly owner: string;
  readonly reason: EndReason;
  readonly stopTimeoutMs: number;
}

/**
 * Writes the doom before the runtime is called. A ready instance must be drained first; a draining one must have
 * no users left. A termination that stands is taken over only by the same owner or past its deadline.
 */
export function startTerminate(deployment: Deployment, id: string, termination: Termination, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance || instance.state === 'ready') return deployment;
  if (instance.state === 'draining' && Object.keys(instance.users).length > 0) return deployment;
  return replace(deployment, id, (doomed) => ({
    ...(doomed.state === 'terminating' ? doomed : move(doomed, 'terminating')),
    owner: termination.owner,
    deadlineAt: now + 2 * termination.stopTimeoutMs + 10_000,
    end: doomed.end ?? { reason: termination.reason, since: now },
  }));
}

/** The runtime confirmed that the container is gone. */
export function confirmGone(deployment: Deployment, id: string): Deployment {
  return without(deployment, id);
}

/** A claimed boot was refused by the runtime, which left nothing: frees the claim and opens the breaker. */
export function bootRefused(deployment: Deployment, id: string, failure: BootFailure, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'booting') return deployment;
  return { ...without(deployment, id), breaker: nextBreaker(instance.failuresBefore ?? 0, failure, now) };
}

/**
 * An instance died by itself. One that dies young counts as a failed boot, but only a second one in a row backs off: an app
 * that was killed once is to be there again for the next request.
 */
export function instanceDied(deployment: Deployment, id: string, message: string, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance || instance.state === 'booting') return deployment;
  const rest = without(deployment, id);
  if (instance.state !== 'ready' || instance.readyAt === undefined) return rest;
  if (now - instance.readyAt >= youngDeathMs) return rest;
  const breaker = nextBreaker(instance.failuresBefore ?? 0, { code: 'boot_failed', message }, now);
  return { ...rest, breaker: breaker.failures === 1 ? { ...breaker, retryAt: now } : breaker };
}

function without(deployment: Deployment, id: string): Deployment {
  if (!findInstance(deployment, id)) return deployment;
  return { ...deployment, instances: deployment.instances.filter((instance) => instance.id !== id) };
}

function replace(deployment: Deployment, id: string, change: (instance: Instance) => Instance): Deployment {
  return {
    ...deployment,
    instances: deployment.instances.map((instance) => (instance.id === id ? change(instance) : instance)),
  };
}

function move(instance: Instance, state: InstanceState): Instance {
  if (!transitions[instance.state].includes(state)) {
    throw new Error(`instance ${instance.id} cannot go from ${instance.state} to ${state}`);
  }
  return { ...instance, state };
}

function disown(instance: Instance): Instance {
  const { owner: _owner, deadlineAt: _deadlineAt, ...rest } = instance;
  return rest;
}

import { type App, revisionOf } from './app.js';
import type { Address, BootCause, EndReason, Instance, InstanceState, Sight } from './instance.js';
import { isSuspended, transitions } from './instance.js';
import { backoffLeftMs, type Breaker, nextBreaker } from './breaker.js';
import { canFallBack, type LastGood, standIn } from './last-good.js';
import type { OrderedMaintenance } from './maintenance.js';
import { type Pin, repinned } from './pin.js';

/** The CMDB document that holds all instances of one app. Immutable; every change is a function in this folder. */
export interface Deployment {
  readonly app: string;
  readonly instances: readonly Instance[];
  /** The machine that has the data of an app with local mounts; stays as long as the app, also without instances. */
  readonly pinnedTo?: Pin;
  /** Present after a failed boot until one succeeds. */
  readonly breaker?: Breaker;
  readonly lastGood?: LastGood;
  /** Present after a revision failed while another can serve: the instance to be replaced, or the last good revision. */
  readonly failedRevision?: FailedRevision;
  /** The last instances that were given up, and when: should one be found again, its running time counts from then on. */
  readonly givenUp?: readonly { readonly id: string; readonly at: number }[];
  /** What an operator ordered by API; without it the app's own says. */
  readonly maintenance?: OrderedMaintenance;
}

/** Until when the next try of a revision is put off, and what the last one came to. It refuses no request. */
export interface FailedRevision extends Breaker {
  /** Another one is tried at once. */
  readonly revision: string;
  /** Id of the instance that was to be replaced and stays. */
  readonly replaces?: string;
}

/** An instance that dies this soon after it became ready counts as a failed boot, so that a crash loop backs off. */
export const youngDeathMs = 10_000;

export function emptyDeployment(app: string): Deployment {
  return { app, instances: [] };
}

export function findInstance(deployment: Deployment, id: string): Instance | undefined {
  return deployment.instances.find((instance) => instance.id === id);
}

/**
 * Instances that count against scale.max: all but those on their way out, and one that boots to replace another,
 * whose place it will take.
 */
export function standing(deployment: Deployment): readonly Instance[] {
  return deployment.instances.filter(
    (instance) => instance.state !== 'draining' && instance.state !== 'terminating' && !takesOver(deployment, instance),
  );
}

/** Whether an instance boots to replace one that is still ready. */
export function takesOver(deployment: Deployment, { state, replaces }: Instance): boolean {
  return state === 'booting' && replaces !== undefined && findInstance(deployment, replaces.id)?.state === 'ready';
}

export interface BootClaim {
  readonly id: string;
  readonly host: string;
  /** Of the runtimes of its owner. */
  readonly runtimeIds?: Sight['runtimeIds'];
  /** Absent: a node of the host is asked to take the claim up; see asked-boot.ts. */
  readonly owner?: string;
  /** Session that asks. */
  readonly askedBy?: string;
  readonly cause?: BootCause;
}

/** How long a boot may wait for a node of its host to take it up. */
export const askLimitMs = 10_000;

/**
 * How many more instances the app may have: never more than `scale.max` that stand, and at most one beyond it, be it for one
 * on its way out or for one being replaced. An app that must not overlap has one at a time, those on their way out included.
 */
export function vacancies(deployment: Deployment, app: App, now: number): number {
  return Math.max(0, room(deployment, app, now));
}

/** As vacancies, but below 0 by how many there are too many. */
export function room(deployment: Deployment, app: App, now: number): number {
  const { instances } = deployment;
  if (!app.overlap) return 1 - instances.length;
  const counted = instances.filter((instance) => now < countsUntil(instance, app)).length;
  return Math.min(app.scale.max - standing(deployment).length, app.scale.max + 1 - counted);
}

/**
 * When one more instance fits beside those that are there, should nothing else happen before, in epoch milliseconds;
 * Infinity if another has to go first. Does not look at how many stand.
 */
export function fitsAt({ instances }: Deployment, app: App): number {
  if (!app.overlap) return instances.length === 0 ? 0 : Infinity;
  const beyond = instances.length - app.scale.max;
  if (beyond <= 0) return 0;
  const until = instances.map((instance) => countsUntil(instance, app)).toSorted((a, b) => a - b);
  return until[beyond - 1] ?? Infinity;
}

/** Claims the boot of one more instance. Unchanged if the app may have no more. */
export function claimBoot(deployment: Deployment, app: App, claim: BootClaim, now: number): Deployment {
  if (vacancies(deployment, app, now) === 0) return deployment;
  const cause = deployment.instances.some(({ state }) => state === 'ready') ? 'load' : 'request';
  return withClaim(deployment, app, { cause, ...claim }, now);
}

/**
 * The app as one more instance of it has to boot: as its last good revision was, while its own is known to fail. Its own is
 * tried again by replacement, or if nothing may run beside it, once its back-off is over.
 */
export function appToBoot(deployment: Deployment, app: App, replaces: Instance['replaces'], now: number): App {
  const { failedRevision } = deployment;
  const isTrial = replaces ? replaces.reason === 'revision' : !app.overlap && backoffLeftMs(failedRevision, now) === 0;
  return (isTrial ? undefined : standIn(deployment, app)) ?? app;
}

/** Adds a claim that the caller has found to be allowed. */
export function withClaim(
  deployment: Deployment,
  app: App,
  claim: BootClaim & Pick<Instance, 'replaces'>,
  now: number,
): Deployment {
  if (findInstance(deployment, claim.id)) return deployment;
  const { runtimeIds, ...who } = claim;
  const instance: Instance = {
    ...who,
    ...madeOf(appToBoot(deployment, app, claim.replaces, now), runtimeIds),
    state: 'booting',
    deadlineAt: now + (claim.owner === undefined ? askLimitMs : bootDeadlineMs(app)),
    bootedAt: now,
    lastActiveAt: now,
    users: {},
    boot: {},
    ...(deployment.breaker ? { failuresBefore: deployment.breaker.failures } : {}),
  };
  return { ...deployment, instances: [...deployment.instances, instance] };
}

/** What an instance of this app is made of, by a node with these runtimes. */
export function madeOf(
  app: App,
  runtimeIds: Sight['runtimeIds'],
): Pick<Instance, 'revision' | 'runtime' | 'runtimeId'> {
  const { runtime } = app;
  const runtimeId = runtimeIds?.get(runtime);
  return { revision: revisionOf(app), runtime, ...(runtimeId === undefined ? {} : { runtimeId }) };
}

/** Past drainTimeout and twice stopTimeout an instance on its way out no longer counts against scale.max. */
function countsUntil({ end }: Instance, app: App): number {
  return end ? end.since + app.drainTimeoutMs + 2 * app.stopTimeoutMs : Infinity;
}

/** How long a claim stands: the boot's own limit and the time to clean up after it. */
export function bootDeadlineMs(app: App): number {
  return app.bootTimeoutMs + 2 * app.stopTimeoutMs;
}

export interface ReadyReport {
  readonly address: Address;
  /** When the container was started. */
  readonly startedAt?: number;
  readonly boot: Readonly<Record<string, number>>;
  /** Session that booted it; becomes its first user. */
  readonly user: string;
  /** Session under which it was claimed, if the node's session was renewed since. */
  readonly claimedBy?: string;
  /** The pin that the boot makes, if the app is not pinned already. */
  readonly pin?: Pin | undefined;
}

/**
 * A claimed boot succeeded. The instance that it replaces drains from the same moment on, so that there is always one to
 * send to. One that was stopped meanwhile drains at once. Unchanged if the claim is gone: its booter came late and must terminate what it started.
 */
export function bootSucceeded(deployment: Deployment, id: string, report: ReadyReport, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'booting' || instance.owner !== (report.claimedBy ?? report.user)) return deployment;
  const {
    breaker: _reset,
    failedRevision,
    lastGood,
    pinnedTo,
    ...unpinned
  } = withInstance(deployment, id, (booting) => ({
    ...disown(move(booting, 'ready')),
    address: report.address,
    ...(report.startedAt === undefined ? {} : { startedAt: report.startedAt }),
    boot: report.boot,
    readyAt: now,
    lastActiveAt: now,
    users: { [report.user]: { since: now } },
  }));
  const isLastGood = lastGood?.revision === instance.revision;
  const stillFails = isLastGood && failedRevision && failedRevision.revision !== instance.revision;
  const rest = {
    ...unpinned,
    ...repinned(pinnedTo, report.pin),
    lastGood: isLastGood ? lastGood : { revision: instance.revision },
    ...(stillFails ? { failedRevision } : {}),
  };
  const { replaces, end } = instance;
  const next = replaces ? startDrain(rest, replaces.id, replaces.reason, now) : rest;
  return end ? startDrain(next, id, end.reason, now) : next;
}

export interface BootFailure {
  readonly code: 'boot_failed' | 'boot_timeout';
  readonly message: string;
}

/**
 * A claimed boot failed: notes the failure and writes the doom of whatever was started. Unchanged where the claim is
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
  if (instance?.state !== 'booting' || instance.owner !== (termination.claimedBy ?? termination.owner))
    return deployment;
  return withFailure(startTerminate(deployment, id, termination, now), instance, failure, now);
}

/** Adds an instance as it is, and the pin if its data was not known to be anywhere. Unchanged if the id is known. */
export function addInstance(deployment: Deployment, instance: Instance, pin?: Pin): Deployment {
  if (findInstance(deployment, instance.id)) return deployment;
  const pinned = pin && !deployment.pinnedTo ? { pinnedTo: pin } : {};
  const counted = deployment.givenUp?.find(({ id }) => id === instance.id)?.at;
  const added = counted === undefined ? instance : { ...instance, startedAt: counted };
  return { ...deployment, ...pinned, instances: [...deployment.instances, added] };
}

/**
 * Ready → draining: users send nothing new, finish, and release. A suspended one has no users, so that it can end at once. One that was
 * never ready has nothing to drain.
 */
export function startDrain(deployment: Deployment, id: string, reason: EndReason, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance || !(instance.state === 'ready' || isSuspended(instance))) return deployment;
  return withInstance(deployment, id, (ready) => ({ ...disown(move(ready, 'draining')), end: { reason, since: now } }));
}

/** What the runtime may take to end an instance, beyond twice its grace, before another node takes the termination over. */
const terminationMarginMs = 10_000;

/** Grace of a container whose app, and with it its stopTimeout, is not known. */
export const defaultStopTimeoutMs = 10_000;

export interface Termination {
  readonly owner: string;
  readonly reason: EndReason;
  readonly stopTimeoutMs: number;
}

/**
 * Writes the doom before the runtime is called. A ready or suspended instance must be drained first; a draining one must have
 * no users left. A termination that stands is taken over only by the same owner or past its deadline.
 */
export function startTerminate(deployment: Deployment, id: string, termination: Termination, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance || instance.state === 'ready' || isSuspended(instance)) return deployment;
  if (instance.state === 'draining' && Object.keys(instance.users).length > 0) return deployment;
  return withInstance(deployment, id, (doomed) => ({
    ...(doomed.state === 'terminating' ? doomed : move(doomed, 'terminating')),
    owner: termination.owner,
    deadlineAt: now + 2 * termination.stopTimeoutMs + terminationMarginMs,
    end: doomed.end ?? { reason: termination.reason, since: now },
  }));
}

/** The runtime confirmed that the container is gone. */
export function confirmGone(deployment: Deployment, id: string): Deployment {
  return without(deployment, id);
}

/** The machine that holds it is silent, and the container is gone with it, or out of everybody's reach. */
export function giveUp(deployment: Deployment, id: string, now: number): Deployment {
  const rest = without(deployment, id);
  if (rest === deployment) return deployment;
  return { ...rest, givenUp: [{ id, at: now }, ...(rest.givenUp ?? [])].slice(0, mostGivenUp) };
}

const mostGivenUp = 8;

/** A claimed boot was refused by the runtime, which left nothing: frees the claim and notes the failure. */
export function bootRefused(deployment: Deployment, id: string, failure: BootFailure, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'booting') return deployment;
  return withFailure(without(deployment, id), instance, failure, now);
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
  const failed = openBreaker(rest, instance, { code: 'boot_failed', message }, now);
  return failed.breaker.failures === 1 ? { ...failed, breaker: { ...failed.breaker, retryAt: now } } : failed;
}

/**
 * Opens the breaker. If the instance was to replace one that serves on, or another revision can be booted, only the next such
 * try is put off.
 */
function withFailure(rest: Deployment, failed: Instance, failure: BootFailure, now: number): Deployment {
  const { revision, replaces } = failed;
  const serves = replaces && takesOver(rest, failed);
  if (!serves && !canFallBack(rest, revision)) return openBreaker(rest, failed, failure, now);
  const before = rest.failedRevision;
  // The last good one fails as well, in the stead of the app's own: that is what stays to be tried again.
  const isInStead = before !== undefined && revision === rest.lastGood?.revision;
  const failures = isInStead || before?.revision === revision ? before.failures : 0;
  return {
    ...rest,
    failedRevision: {
      ...nextBreaker(failures, failure, now),
      revision: isInStead ? before.revision : revision,
      ...(serves ? { replaces: replaces.id } : {}),
    },
  };
}

function openBreaker(rest: Deployment, failed: Instance, failure: BootFailure, now: number) {
  const breaker = nextBreaker(failed.failuresBefore ?? 0, failure, now);
  const others = rest.instances.some(({ state }) => state === 'ready');
  return { ...rest, breaker: others ? { ...breaker, scaleOut: true } : breaker };
}

function without(deployment: Deployment, id: string): Deployment {
  if (!findInstance(deployment, id)) return deployment;
  return { ...deployment, instances: deployment.instances.filter((instance) => instance.id !== id) };
}

/** Changes one instance. */
export function withInstance(deployment: Deployment, id: string, change: (instance: Instance) => Instance): Deployment {
  return {
    ...deployment,
    instances: deployment.instances.map((instance) => (instance.id === id ? change(instance) : instance)),
  };
}

/** Throws if the state may not follow that of the instance. */
export function move(instance: Instance, state: InstanceState): Instance {
  if (!transitions[instance.state].includes(state)) {
    throw new Error(`instance ${instance.id} cannot go from ${instance.state} to ${state}`);
  }
  return { ...instance, state };
}

/** Without what belongs to an owned state. */
export function disown(instance: Instance): Instance {
  const { owner: _owner, askedBy: _askedBy, deadlineAt: _deadlineAt, replaces: _replaces, ...rest } = instance;
  return rest;
}

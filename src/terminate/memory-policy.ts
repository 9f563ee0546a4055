import type { AppRecord } from '../cmdb/cmdb.js';
import type { App } from '../model/app.js';
import { type Deployment, findInstance, startDrain, startTerminate, type Termination } from '../model/deployment.js';
import { type Instance, sees, type Sight } from '../model/instance.js';

/** An instance that can be ended for its memory, and since when it is idle (epoch milliseconds). */
export interface IdleInstance {
  readonly app: string;
  readonly id: string;
  readonly idleSince: number;
}

export interface IdleView extends Sight {
  readonly now: number;
  /** Since when an instance with users is idle, as far as this node knows; undefined if it is in use. */
  readonly idleSince: (app: string, instance: Instance) => number | undefined;
}

/** An instance that was used within this time stays: it would be booted again at once. */
const leastIdleMs = 1_000;

/** Those of this host that can be ended, the longest idle first; of each app `scale.min` are left that are ready. */
export function idleInstances(records: readonly AppRecord[], view: IdleView): IdleInstance[] {
  return records.flatMap((record) => idleOf(record, view)).toSorted((a, b) => a.idleSince - b.idleSince);
}

function idleOf({ app, deployment }: AppRecord, view: IdleView): IdleInstance[] {
  const { now, idleSince } = view;
  const ready = deployment.instances.filter(({ state }) => state === 'ready');
  const idle = ready
    .filter((instance) => sees(view, instance))
    .flatMap((instance) => {
      const since = isUsed(instance) ? idleSince(app.name, instance) : instance.lastActiveAt;
      return since === undefined || now - since < leastIdleMs
        ? []
        : [{ app: app.name, id: instance.id, idleSince: since }];
    })
    .toSorted((a, b) => a.idleSince - b.idleSince);
  const asleep = deployment.instances
    .filter((instance) => instance.state === 'paused' && sees(view, instance))
    .map(({ id, lastActiveAt }) => ({ app: app.name, id, idleSince: lastActiveAt }));
  return [...asleep, ...idle.slice(0, Math.max(0, ready.length - app.scale.min))];
}

/** Ends an instance for its memory, before its time; unchanged if it is in use again, or one of the last `scale.min`. */
export function endForMemory(
  deployment: Deployment,
  app: App | undefined,
  id: string,
  termination: Omit<Termination, 'reason'>,
  now: number,
): Deployment {
  const instance = findInstance(deployment, id);
  const ready = deployment.instances.filter(({ state }) => state === 'ready').length;
  const mayEnd =
    instance?.state === 'paused' || (instance?.state === 'ready' && !isUsed(instance) && ready > (app?.scale.min ?? 0));
  if (!mayEnd) return deployment;
  return startTerminate(startDrain(deployment, id, 'memory', now), id, { ...termination, reason: 'memory' }, now);
}

function isUsed({ users }: Instance): boolean {
  return Object.keys(users).length > 0;
}

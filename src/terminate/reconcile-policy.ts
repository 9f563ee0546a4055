import type { AppRecord } from '../cmdb/cmdb.js';
import { revisionOf } from '../model/app.js';
import { findInstance, standing } from '../model/deployment.js';
import { type Instance, type Location, sees, type Sight } from '../model/instance.js';
import { pinnedHost } from '../model/pin.js';
import type { FoundInstance, Runtime } from '../runtime/runtime.js';

/** What the CMDB and a runtime disagree on. */
export type Difference =
  | { readonly kind: 'gone'; readonly app: string; readonly id: string }
  /** It is frozen and written as ready: a node crashed, or a write of its pause was lost. */
  | { readonly kind: 'frozen'; readonly app: string; readonly id: string }
  | { readonly kind: 'stray'; readonly app: string; readonly id: string; readonly found: FoundInstance };

export interface View extends Sight {
  readonly runtime: Runtime['name'];
  /** The CMDB before and after the runtime was listed. */
  readonly before: ReadonlyMap<string, AppRecord>;
  readonly after: ReadonlyMap<string, AppRecord>;
  readonly found: readonly FoundInstance[];
}

/**
 * Differences that stood both before and after the listing. Instances in an owned state are left to their owners. The caller acts on
 * what is gone or stray only when it sees it twice.
 */
export function differences(view: View): Difference[] {
  return [...gone(view), ...frozen(view), ...strays(view)];
}

function gone(view: View): Difference[] {
  const { runtime, before, after, found } = view;
  const running = new Set(found.filter((container) => container.running).map(({ id }) => id));
  return [...after.values()].flatMap(({ app, deployment }) =>
    deployment.instances
      .filter((instance) => instance.runtime === runtime && sees(view, instance))
      .filter(({ state }) => state === 'ready' || state === 'paused' || state === 'draining')
      .filter(({ id }) => !running.has(id) && isIn(before, app.name, id))
      .map(({ id }) => ({ kind: 'gone' as const, app: app.name, id })),
  );
}

function frozen({ before, after, found }: View): Difference[] {
  const isReady = (records: ReadonlyMap<string, AppRecord>, { app, id }: FoundInstance) => {
    const record = records.get(app);
    return record !== undefined && findInstance(record.deployment, id)?.state === 'ready';
  };
  return found
    .filter((container) => container.paused === true && isReady(before, container) && isReady(after, container))
    .map(({ app, id }) => ({ kind: 'frozen', app, id }));
}

function strays({ before, after, found }: View): Difference[] {
  return found
    .filter(({ app, id }) => !isIn(before, app, id) && !isIn(after, app, id))
    .map((container) => ({ kind: 'stray', app: container.app, id: container.id, found: container }));
}

function isIn(records: ReadonlyMap<string, AppRecord>, app: string, id: string): boolean {
  const record = records.get(app);
  return record !== undefined && findInstance(record.deployment, id) !== undefined;
}

/**
 * The instance that a stray container becomes if it fits its app as it is now; undefined if it has to go. `anyRevision`: one of another
 * revision fits as well, and is replaced like any other.
 */
export function adoptable(
  found: FoundInstance,
  record: AppRecord | undefined,
  sight: Sight,
  now: number,
  anyRevision: boolean,
): Instance | undefined {
  if (!record || record.removed || !found.running || !found.address) return undefined;
  const { app, deployment } = record;
  const isKnown = found.revision === revisionOf(app) || found.revision === deployment.lastGood?.revision;
  if (!anyRevision && !isKnown) return undefined;
  if (standing(deployment).length >= app.scale.max) return undefined;
  if (!app.overlap && deployment.instances.length > 0) return undefined;
  // The app's data has moved: what runs here has an older copy.
  if ((pinnedHost(deployment, app) ?? sight.host) !== sight.host) return undefined;
  return {
    id: found.id,
    revision: found.revision,
    state: found.paused === true ? 'paused' : 'ready',
    ...locationAt(sight, app.runtime),
    address: found.address,
    bootedAt: now,
    readyAt: now,
    lastActiveAt: now,
    users: {},
    boot: {},
  };
}

/** The location of a container that a runtime of this node lists. */
export function locationAt({ host, runtimeIds }: Sight, runtime: Location['runtime']): Location {
  const id = runtimeIds?.get(runtime);
  return { runtime, host, ...(id === undefined ? {} : { runtimeId: id }) };
}

import type { LocalApps } from '../uses/local-apps.js';
import type { AppRecord, Cmdb } from '../cmdb/cmdb.js';
import type { Clock } from '../model/clock.js';
import { addInstance, findInstance } from '../model/deployment.js';
import type { Instance, Sight } from '../model/instance.js';
import { pinOf } from '../model/pin.js';
import type { Runtime } from '../runtime/runtime.js';
import { adoptable, type Difference, differences, locationAt } from './reconcile-policy.js';

export type Stray = Extract<Difference, { kind: 'stray' }>;

export interface StraysOptions {
  readonly cmdb: Cmdb;
  readonly apps: LocalApps;
  readonly sight: Sight;
  /** Whether an app with local mounts stays on the host on which it runs. */
  readonly pins: boolean;
  readonly clock: Clock;
}

/**
 * What became of a stray. `deaf`: it runs and does not listen. `unfit`: its app has no room or no use for it. `unknown_app`: the CMDB
 * has no such app.
 */
export type Taken = 'taken_in' | 'deaf' | 'unfit' | 'unknown_app';

/** Compares the CMDB with one runtime of this host. Throws if either cannot be read. */
export async function compare({ cmdb, sight }: StraysOptions, runtime: Runtime): Promise<Difference[]> {
  const before = await records(cmdb);
  const found = await runtime.list();
  const after = await records(cmdb);
  return differences({ ...sight, runtime: runtime.name, before, after, found });
}

/** Writes a running container into the CMDB that does not know it, if it fits its app then. `anyRevision`: see `adoptable`. */
export async function takeIn(
  { cmdb, apps, sight, pins, clock }: StraysOptions,
  runtime: Runtime,
  { app, id, found }: Stray,
  anyRevision: boolean,
): Promise<Taken> {
  const record = await cmdb.find({ app });
  if (!record) return 'unknown_app';
  // One that does not listen would get requests and serve none. Undefined: the runtime cannot tell.
  const inspection = await runtime.inspect(id);
  if (inspection.state !== 'running' || inspection.listening === false) return 'deaf';
  const startedAt = inspection.startedAt === undefined ? {} : { startedAt: inspection.startedAt };
  const { deployment } = await apps.update(app, (current, stored) => {
    const now = { ...record, app: stored ?? record.app, deployment: current };
    const fitting = adoptable(found, now, sight, clock.now(), anyRevision);
    const instance = fitting && { ...fitting, ...startedAt };
    return instance ? addInstance(current, instance, pins ? pinOf(now.app, sight.host) : undefined) : current;
  });
  return findInstance(deployment, id) ? 'taken_in' : 'unfit';
}

/** Writes a stray that does not fit as a draining instance without users, which the reaper ends. */
export async function seeOut(
  { apps, sight, clock }: StraysOptions,
  runtime: Runtime,
  { app, id, found }: Stray,
): Promise<void> {
  const now = clock.now();
  const leaving: Instance = {
    ...{ id, revision: found.revision, state: 'draining', users: {}, boot: {} },
    ...locationAt(sight, runtime.name),
    ...(found.address ? { address: found.address } : {}),
    ...{ bootedAt: now, lastActiveAt: now, end: { reason: 'orphaned', since: now } },
  };
  await apps.update(app, (current) => addInstance(current, leaving));
}

async function records(cmdb: Cmdb): Promise<Map<string, AppRecord>> {
  const all = new Map<string, AppRecord>();
  for await (const record of cmdb.list('active')) all.set(record.app.name, record);
  return all;
}

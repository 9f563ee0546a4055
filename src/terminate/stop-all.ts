import type { LocalApps } from '../uses/local-apps.js';
import type { Cmdb } from '../cmdb/cmdb.js';
import type { App } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import { type Deployment, findInstance, startDrain, startTerminate } from '../model/deployment.js';
import { sees, type Sight } from '../model/instance.js';
import { releaseUser } from '../model/users.js';
import { toTerminate } from './reap-policy.js';
import type { Terminator } from './terminator.js';

export interface StopAllOptions {
  readonly cmdb: Cmdb;
  readonly apps: LocalApps;
  readonly terminator: Terminator;
  readonly sight: Sight;
  /** This node's session. */
  readonly me: string;
  readonly clock: Clock;
  /** `removed`: only those of removed apps, which else would run until a daemon is started again. */
  readonly which: 'all' | 'removed';
}

/** Ends the instances that this node sees and no other uses. Release this node's own uses before. */
export async function stopAll({ cmdb, apps, terminator, sight, me, clock, which }: StopAllOptions): Promise<void> {
  const ending: Promise<void>[] = [];
  for await (const { app, removed, deployment } of cmdb.list('active')) {
    if (which === 'removed' && !removed) continue;
    if (!deployment.instances.some((instance) => sees(sight, instance))) continue;
    const { deployment: ended } = await apps.update(app.name, (current) =>
      endAll(current, app, sight, me, clock.now()),
    );
    ending.push(...toTerminate(ended, me).map((id) => terminator.terminate(app.name, id)));
  }
  await Promise.all(ending);
}

function endAll(deployment: Deployment, app: App, sight: Sight, me: string, now: number): Deployment {
  const termination = { owner: me, reason: 'stopped' as const, stopTimeoutMs: app.stopTimeoutMs };
  return deployment.instances
    .filter((instance) => sees(sight, instance) && instance.state !== 'terminating')
    .reduce((next, { id }) => {
      const drained = releaseUser(startDrain(next, id, 'stopped', now), id, me, now);
      return findInstance(drained, id) ? startTerminate(drained, id, termination, now) : drained;
    }, deployment);
}

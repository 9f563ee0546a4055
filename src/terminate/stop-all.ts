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
  /** Only what this node sees is ended. */
  readonly sight: Sight;
  /** This node's session. */
  readonly me: string;
  readonly clock: Clock;
  /** `removed`: only those of apps that were removed; a daemon that ends now would leave them to the next one, if one comes. */
  readonly which: 'all' | 'removed';
}

/** Ends instances of this machine that nobody else uses, all of them with `--stop-apps`. This node's own uses are released before. */
export async function stopAll({ cmdb, apps, terminator, sight, me, clock, which }: StopAllOptions): Promise<void> {
  const ending: Promise<void>[] = [];
  for await (const { app, removed, deployment } of cmdb.list('active')) {
    if (which === 'removed' && !removed) continue;
    if (!deployment.instances.some((instance) => sees(sight, instance))) continue;
    const { deployment: doomed } = await apps.update(app.name, (current) => doom(current, app, sight, me, clock.now()));
    ending.push(...toTerminate(doomed, me).map((id) => terminator.terminate(app.name, id)));
  }
  await Promise.all(ending);
}

function doom(deployment: Deployment, app: App, sight: Sight, me: string, now: number): Deployment {
  const termination = { owner: me, reason: 'stopped' as const, stopTimeoutMs: app.stopTimeoutMs };
  return deployment.instances
    .filter((instance) => sees(sight, instance) && instance.state !== 'terminating')
    .reduce((next, { id }) => {
      const drained = releaseUser(startDrain(next, id, 'stopped', now), id, me, now);
      return findInstance(drained, id) ? startTerminate(drained, id, termination, now) : drained;
    }, deployment);
}

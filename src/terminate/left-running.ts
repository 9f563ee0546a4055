import type { Cmdb } from '../cmdb/cmdb.js';
import type { Instance } from '../model/instance.js';

/** What runs on after a daemon has ended. */
export interface LeftRunning {
  readonly containers: number;
  /** Names, sorted. */
  readonly apps: readonly string[];
}

/** Counts the instances that are `isOurs`. */
export async function leftRunning(
  cmdb: Pick<Cmdb, 'list'>,
  isOurs: (instance: Instance) => boolean,
): Promise<LeftRunning> {
  let containers = 0;
  const apps: string[] = [];
  for await (const { app, deployment } of cmdb.list('active')) {
    const ours = deployment.instances.filter(isOurs).length;
    if (ours > 0) apps.push(app.name);
    containers += ours;
  }
  return { containers, apps: apps.toSorted() };
}

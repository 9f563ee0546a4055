import { nextDueAt } from '../model/schedule.js';
import type { AppRecord } from './cmdb.js';

/** Whether an app is on the schedule for what it has or for what it lacks: it has instances, or needs some. */
export function isActive({ app, removed, deployment }: AppRecord): boolean {
  return deployment.instances.length > 0 || (!removed && nextDueAt(deployment, app) !== undefined);
}

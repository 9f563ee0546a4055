import type { Deployment } from '../model/deployment.js';
import { hostsToAct } from '../model/host-actions.js';
import type { Change } from './cmdb.js';

/** The change log's entry for a deployment that was written. */
export function changeTo(deployment: Deployment, version: string): Change {
  const hosts = hostsToAct(deployment);
  return { app: deployment.app, version, ...(hosts.length > 0 ? { hosts } : {}) };
}

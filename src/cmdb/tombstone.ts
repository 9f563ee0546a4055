import { appWith, type RuntimeName } from '../model/app.js';
import type { Deployment } from '../model/deployment.js';
import type { StoredApp } from './record-format.js';

/**
 * Stands for an app of which nothing is known but its name, so that what runs of it drains: its record could not be read
 * when it was removed, or an instance was found after it had gone. Serves no domain and boots nothing.
 */
export function tombstone(name: string, deployment: Deployment): StoredApp {
  const [instance] = deployment.instances;
  const runtime = (instance?.runtime ?? 'process') satisfies RuntimeName;
  const app = appWith({ name, domains: [], runtime, scale: { min: 0, max: 0 } });
  return { app, removed: true };
}

import { appWith, type RuntimeName } from '../model/app.js';
import type { Deployment } from '../model/deployment.js';
import type { StoredApp } from './record-format.js';

/**
 * Stands for an app of which only the name is known, so that its instances drain: its record was unreadable when it was removed, or
 * an instance was found after the app was gone. Serves no domain and boots nothing.
 */
export function tombstone(name: string, deployment: Deployment): StoredApp {
  const [instance] = deployment.instances;
  const runtime = (instance?.runtime ?? 'process') satisfies RuntimeName;
  const app = appWith({ name, domains: [], runtime, scale: { min: 0, max: 0 } });
  return { app, removed: true };
}

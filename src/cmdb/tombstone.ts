import type { App, RuntimeName } from '../model/app.js';
import type { Deployment } from '../model/deployment.js';
import type { StoredApp } from './record-format.js';

/**
 * Stands for an app of which nothing is known but its name, so that what runs of it drains: its record could not be read
 * when it was removed, or an instance was found after it had gone. Serves no domain and boots nothing.
 */
export function tombstone(name: string, deployment: Deployment): StoredApp {
  const [instance] = deployment.instances;
  const app: App = {
    name,
    domains: [],
    runtime: (instance?.runtime ?? 'process') satisfies RuntimeName,
    env: {},
    mounts: [],
    overlap: true,
    readOnly: false,
    publish: false,
    limits: {},
    readiness: { tcp: true },
    scale: { min: 0, max: 0 },
    concurrency: { target: 1, max: 1, clientShare: 1 },
    queue: { max: 0, timeoutMs: 0 },
    idleTtlMs: 0,
    maxLifetimeMs: 0,
    bootTimeoutMs: 0,
    drainTimeoutMs: 30_000,
    stopTimeoutMs: 10_000,
    requestTimeoutMs: 0,
    maxRequestBodyBytes: 0,
  };
  return { app, removed: true };
}

import { createHash } from 'node:crypto';
import type { InstanceSpec } from '../runtime.js';

/** Labels that every container of this product carries. `port` is where the app listens inside. */
export const labels = {
  cmdb: 'fastcontainer.cmdb',
  app: 'fastcontainer.app',
  instance: 'fastcontainer.instance',
  revision: 'fastcontainer.revision',
  port: 'fastcontainer.port',
} as const;

export function labelsOf(cmdbName: string, spec: InstanceSpec, port: number): Record<string, string> {
  return {
    [labels.cmdb]: cmdbName,
    [labels.app]: spec.app.name,
    [labels.instance]: spec.id,
    [labels.revision]: spec.revision,
    [labels.port]: String(port),
  };
}

/**
 * The name of an instance's container, which Docker tells its neighbours: its name server answers whose an address is. So
 * the name says nothing of app or instance, and nobody guesses it.
 */
export function containerName(id: string): string {
  return `fc-${createHash('sha256').update(id).digest('hex').slice(0, 20)}`;
}

/** The filter that asks the engine for this cmdb's containers only. */
export function cmdbFilter(cmdbName: string): string[] {
  return [`${labels.cmdb}=${cmdbName}`];
}

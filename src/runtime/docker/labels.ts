import { createHash } from 'node:crypto';
import { type ProcessIdentity, identify, isRunning } from '../../machine/proc-fs.js';
import type { InstanceSpec } from '../runtime.js';

/** Labels that every container of this product carries. `port` is where the app listens inside, `booter` the process that started it. */
export const labels = {
  cmdb: 'fastcontainer.cmdb',
  installation: 'fastcontainer.installation',
  app: 'fastcontainer.app',
  instance: 'fastcontainer.instance',
  revision: 'fastcontainer.revision',
  port: 'fastcontainer.port',
  booter: 'fastcontainer.booter',
} as const;

/** Whose a container is: `cmdb.name`, and the installation's own id, as others may have the same name. */
export interface Owner {
  readonly cmdbName: string;
  readonly installation: string;
}

export function labelsOf(owner: Owner, spec: InstanceSpec, port: number): Record<string, string> {
  return {
    [labels.cmdb]: owner.cmdbName,
    [labels.installation]: owner.installation,
    [labels.app]: spec.app.name,
    [labels.instance]: spec.id,
    [labels.revision]: spec.revision,
    [labels.port]: String(port),
    [labels.booter]: booterText(identify(process.pid)),
  };
}

/**
 * The name of an instance's container, which Docker tells its neighbours: its name server answers whose an address is. So
 * the name says nothing of app or instance, and nobody guesses it.
 */
export function containerName(id: string): string {
  return `fc-${createHash('sha256').update(id).digest('hex').slice(0, 20)}`;
}

/** Whether the process that started a container runs on this machine; false for one that cannot be told. */
export function booterRuns(text: string): boolean {
  const [pid = '', startTime = '', bootId = ''] = text.split(' ');
  return isRunning({ pid: Number(pid), startTime, bootId });
}

export function booterText({ pid, startTime, bootId }: ProcessIdentity): string {
  return `${pid} ${startTime} ${bootId}`;
}

/** The filter that asks the engine for the containers of this installation only. */
export function ownFilter({ cmdbName, installation }: Owner): string[] {
  return [...cmdbFilter(cmdbName), `${labels.installation}=${installation}`];
}

/** The same for those of all installations of this name. */
export function cmdbFilter(cmdbName: string): string[] {
  return [`${labels.cmdb}=${cmdbName}`];
}

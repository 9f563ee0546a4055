import { createHash } from 'node:crypto';
import { type ProcessIdentity, identify, isRunning } from '../../machine/proc-fs.js';
import type { InstanceSpec } from '../runtime.js';

/** Labels of every container of this product. `port` is the port that the app listens on inside, `booter` the process that started it. */
export const labels = {
  cmdb: 'fastcontainer.cmdb',
  installation: 'fastcontainer.installation',
  app: 'fastcontainer.app',
  instance: 'fastcontainer.instance',
  revision: 'fastcontainer.revision',
  port: 'fastcontainer.port',
  booter: 'fastcontainer.booter',
} as const;

/** The installation that owns a container: `cmdb.name`, and a unique id, as others may have the same name. */
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
 * The name of an instance's container. It reveals neither app nor instance and cannot be guessed, as Docker's name server tells
 * neighbours the names of addresses.
 */
export function containerName(id: string): string {
  return `fc-${createHash('sha256').update(id).digest('hex').slice(0, 20)}`;
}

/** Whether the process that started a container runs on this machine; false if that is unknown. */
export function booterRuns(text: string): boolean {
  const [pid = '', startTime = '', bootId = ''] = text.split(' ');
  return isRunning({ pid: Number(pid), startTime, bootId });
}

export function booterText({ pid, startTime, bootId }: ProcessIdentity): string {
  return `${pid} ${startTime} ${bootId}`;
}

/** A filter for the containers of this installation. */
export function ownFilter({ cmdbName, installation }: Owner): string[] {
  return [...cmdbFilter(cmdbName), `${labels.installation}=${installation}`];
}

/** A filter for the containers of all installations of this name. */
export function cmdbFilter(cmdbName: string): string[] {
  return [`${labels.cmdb}=${cmdbName}`];
}

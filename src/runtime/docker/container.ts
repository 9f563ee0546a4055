import type { Address } from '../../model/instance.js';
import { EngineError, isMissing } from './engine-error.js';
import type { Engine } from './engine.js';
import { exitCodeCause } from './exit-code.js';
import { containerName, labels } from './labels.js';
import { oneLine } from '../output/printable.js';
import { asPort, at, entriesAt, idAt, listAt, portAt, textAt } from './reply.js';

/** The network of an installation's containers, and how they are reached. */
export interface Place {
  readonly cmdbName: string;
  /** Id of the installation, as another one may have the same cmdb name. */
  readonly installation: string;
  readonly network: string;
  /** Host name or IP address at which published ports are reached. */
  readonly publishedHost: string;
  /** Whether containers get a name for the engine's host, as they may use some of its services. */
  readonly showHost: boolean;
}

/** A container of this installation, by its labels and exact name. */
export interface OwnContainer {
  readonly containerId: string;
  readonly app: string;
  /** The engine's full description. */
  readonly reply: unknown;
}

/**
 * Finds the container of an instance; undefined if there is none. Throws if a container has its name but not our labels: it is not
 * ours and must not be touched.
 */
export async function findContainer(engine: Engine, id: string, place: Place): Promise<OwnContainer | undefined> {
  const name = containerName(id);
  const reply = await inspectContainer(engine, name, id);
  // The engine also accepts a prefix of another container's id.
  if (textAt(reply, 'Name') !== `/${name}`) return undefined;
  const containerId = idAt(reply, 'Id');
  const own =
    textAt(reply, 'Config', 'Labels', labels.cmdb) === place.cmdbName &&
    textAt(reply, 'Config', 'Labels', labels.installation) === place.installation;
  if (!own || textAt(reply, 'Config', 'Labels', labels.instance) !== id || containerId === undefined) {
    throw new EngineError(
      `container ${name} of instance ${id} on Docker Engine at ${engine.where} ` +
        `does not carry the labels ${labels.cmdb}=${place.cmdbName} and ${labels.installation}=${place.installation}: it is not touched; ` +
        'remove or rename it by hand if it is in the way',
      undefined,
      '',
    );
  }
  return { containerId, app: textAt(reply, 'Config', 'Labels', labels.app) ?? '', reply };
}

/** The engine's description of a container, by its id or name; undefined if there is none. */
export async function inspectContainer(engine: Engine, containerId: string, name: string): Promise<unknown> {
  try {
    return await engine.json(`inspect container ${name}`, { path: ['containers', containerId, 'json'] });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The address at which an inspected container is reached; undefined while it has none. */
export function inspectedAddress(reply: unknown, place: Place): Address | undefined {
  const port = portAt(reply, 'Config', 'Labels', labels.port);
  if (port === undefined) return undefined;
  const tcpPort = `${port}/tcp`;
  if (at(reply, 'HostConfig', 'PortBindings', tcpPort) !== undefined) {
    const published = listAt(reply, 'NetworkSettings', 'Ports', tcpPort)
      .map((binding) => portAt(binding, 'HostPort'))
      .find((found) => found !== undefined);
    return published === undefined ? undefined : { host: place.publishedHost, port: published };
  }
  const host = textAt(reply, 'NetworkSettings', 'Networks', place.network, 'IPAddress');
  return host === undefined ? undefined : { host, port };
}

/** The address of an inspected container on the engine's network, and whether it is published elsewhere. */
export function ownAddress(reply: unknown, place: Place): { isPublished: boolean; address: Address | undefined } {
  const port = portAt(reply, 'Config', 'Labels', labels.port);
  const host = textAt(reply, 'NetworkSettings', 'Networks', place.network, 'IPAddress');
  return {
    isPublished: at(reply, 'HostConfig', 'PortBindings', `${port}/tcp`) !== undefined,
    address: port === undefined || host === undefined ? undefined : { host, port },
  };
}

/** The address that was chosen for an inspected container, running or not. */
export function chosenAddress(reply: unknown, place: Place): string | undefined {
  return textAt(reply, 'NetworkSettings', 'Networks', place.network, 'IPAMConfig', 'IPv4Address');
}

/** The address at which a listed container is reached. */
export function listedAddress(entry: unknown, place: Place): Address | undefined {
  const port = portAt(entry, 'Labels', labels.port);
  if (port === undefined) return undefined;
  const published = listAt(entry, 'Ports')
    .filter((binding) => asPort(at(binding, 'PrivatePort')) === port && textAt(binding, 'Type') === 'tcp')
    .map((binding) => portAt(binding, 'PublicPort'))
    .find((found) => found !== undefined);
  if (published !== undefined) return { host: place.publishedHost, port: published };
  // A container on an older network, whose name was changed in the config, is reached there.
  const networks = entriesAt(entry, 'NetworkSettings', 'Networks').toSorted(([name]) =>
    name === place.network ? -1 : 0,
  );
  const host = networks.map(([, network]) => textAt(network, 'IPAddress')).find((found) => found !== undefined);
  return host === undefined ? undefined : { host, port };
}

/** Whether a listed container has a live process. */
export function runs(entry: unknown): boolean {
  const state = textAt(entry, 'State');
  return state === 'running' || state === 'paused';
}

/** A time of an inspected container's state, in epoch milliseconds; the engine writes the year 1 if there is none. */
export function timeAt(state: unknown, name: 'StartedAt' | 'FinishedAt'): number | undefined {
  const at = Date.parse(textAt(state, name) ?? '');
  return at > 0 ? at : undefined;
}

/** Why a container ended, from the engine's description of its state. */
export function exitCause(state: unknown): string {
  if (at(state, 'OOMKilled') === true) return 'out of memory';
  const startError = textAt(state, 'Error');
  if (startError !== undefined) return oneLine(startError);
  if (textAt(state, 'Status') === 'created') return 'never started';
  return exitCodeCause(at(state, 'ExitCode'));
}

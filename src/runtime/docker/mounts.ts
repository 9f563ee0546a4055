import type { App } from '../../model/app.js';
import type { Engine } from './engine.js';
import { labels } from './labels.js';
import { nestedFault } from '../mounts/mount-policy.js';
import { sourcesFault } from '../mounts/mount-source.js';
import { at, idAt, listAt, textAt } from './reply.js';

/**
 * Throws if a created container must not start with its mounts: a source may have been replaced since, or this container and another,
 * created or running, could replace each other's sources.
 */
export async function checkMounts(engine: Engine, app: App, containerId: string, isRemote: boolean): Promise<void> {
  if (app.mounts.length === 0) return;
  const fault =
    (isRemote ? undefined : await sourcesFault(app.mounts)) ??
    nestedFault(app.mounts, await othersMounts(engine, containerId), "another app's mount");
  if (fault !== undefined) throw new Error(`app ${app.name}: ${fault}`);
}

/** Mounts of all other containers of this product on the engine, of any installation. */
async function othersMounts(engine: Engine, containerId: string): Promise<{ source: string; readOnly: boolean }[]> {
  const query = { all: true, filters: { label: [labels.instance] } };
  const options = { limitMs: 10_000, maxBytes: 256 * 1024 * 1024 };
  const entries = await engine.json('list the mounts of containers', { path: ['containers', 'json'], query }, options);
  if (!Array.isArray(entries)) throw new Error(`Docker Engine at ${engine.where} did not list its containers`);
  return entries
    .filter((entry: unknown) => idAt(entry, 'Id') !== containerId && textAt(entry, 'State') !== 'exited')
    .flatMap((entry: unknown) => listAt(entry, 'Mounts'))
    .filter((mount) => textAt(mount, 'Type') === 'bind')
    .map((mount) => ({ source: textAt(mount, 'Source') ?? '/', readOnly: at(mount, 'RW') === false }));
}

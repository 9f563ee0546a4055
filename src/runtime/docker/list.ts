import type { FoundInstance } from '../runtime.js';
import { type Place, listedAddress, runs } from './container.js';
import type { Engine } from './engine.js';
import { cmdbFilter, containerName, labels } from './labels.js';
import { textAt } from './reply.js';

/** An entry takes 2 KB, more with many mounts. */
const listLimits = { limitMs: 10_000, maxBytes: 256 * 1024 * 1024 };

/** See Runtime.list. Throws on any failure: an empty list means that there is nothing. */
export async function list(engine: Engine, place: Place): Promise<FoundInstance[]> {
  return (await listOwn(engine, place.cmdbName)).flatMap((entry) => found(entry, place));
}

/** The engine's own entries of this cmdb's containers, dead ones included. */
export async function listOwn(engine: Engine, cmdbName: string): Promise<readonly unknown[]> {
  const query = { all: true, filters: { label: cmdbFilter(cmdbName) } };
  const entries = await engine.json('list containers', { path: ['containers', 'json'], query }, listLimits);
  if (Array.isArray(entries)) return entries;
  throw new Error(`cannot list containers: Docker Engine at ${engine.where} answered something that is not a list`);
}

function found(entry: unknown, place: Place): FoundInstance[] {
  const id = textAt(entry, 'Labels', labels.instance);
  const app = textAt(entry, 'Labels', labels.app);
  const revision = textAt(entry, 'Labels', labels.revision);
  // A label alone does not make it ours: `stop` finds containers by name.
  const named = id !== undefined && textAt(entry, 'Names', '0') === `/${containerName(id)}`;
  if (id === undefined || app === undefined || revision === undefined || !named) return [];
  const running = runs(entry);
  const address = running ? listedAddress(entry, place) : undefined;
  return [{ id, app, revision, running, ...(address ? { address } : {}) }];
}

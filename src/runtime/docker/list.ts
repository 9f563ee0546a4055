import type { Logger } from 'pino';
import type { FoundInstance } from '../runtime.js';
import { type Place, listedAddress, runs } from './container.js';
import type { Engine } from './engine.js';
import { type Owner, booterRuns, cmdbFilter, containerName, labels } from './labels.js';
import type { OutputLog } from './output-log.js';
import { idAt, textAt } from './reply.js';

/** Large enough for many containers: an entry takes 2 KB, more with many mounts. */
const listLimits = { limitMs: 10_000, maxBytes: 256 * 1024 * 1024 };
const maxSaid = 1_000;

/** Logs each container of another installation with the same name once. */
export class ForeignContainers {
  readonly #logger: Logger;
  readonly #said = new Set<string>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  report(entries: readonly unknown[]): void {
    for (const entry of entries) {
      const instance = textAt(entry, 'Labels', labels.instance) ?? '';
      if (this.#said.has(instance) || this.#said.size >= maxSaid) continue;
      this.#said.add(instance);
      const fields = { instance, app: textAt(entry, 'Labels', labels.app), name: textAt(entry, 'Names', '0') };
      this.#logger.warn(
        fields,
        'a container of another installation with the same cmdb.name is on this engine; it is left alone: give one of them ' +
          'another cmdb.name, or end the container if its installation no longer exists',
      );
    }
  }
}

interface ListContext {
  readonly engine: Engine;
  readonly place: Place;
  readonly foreign: ForeignContainers;
  readonly outputLog: OutputLog;
}

/** See Runtime.list. Throws on any failure: an empty list means that there is nothing. */
export async function list({ engine, place, foreign, outputLog }: ListContext): Promise<FoundInstance[]> {
  const entries = await listNamed(engine, place.cmdbName);
  foreign.report(entries.filter((entry) => !isOwn(entry, place)));
  const own = entries.filter((entry) => isOwn(entry, place));
  followOrphans(own, outputLog);
  return own.flatMap((entry) => found(entry, place));
}

/** Follows the output of running containers whose dispatcher has ended. */
function followOrphans(entries: readonly unknown[], outputLog: OutputLog): void {
  for (const entry of entries) {
    const [containerId, instance, app] = [
      idAt(entry, 'Id'),
      textAt(entry, 'Labels', labels.instance),
      textAt(entry, 'Labels', labels.app),
    ];
    if (containerId === undefined || instance === undefined || app === undefined || !runs(entry)) continue;
    if (!booterRuns(textAt(entry, 'Labels', labels.booter) ?? ''))
      outputLog.follow({ containerId, instance, app }, 'now');
  }
}

/** The engine's entries of this installation's containers, running or not. */
export async function listOwn(engine: Engine, owner: Owner): Promise<readonly unknown[]> {
  return (await listNamed(engine, owner.cmdbName)).filter((entry) => isOwn(entry, owner));
}

async function listNamed(engine: Engine, cmdbName: string): Promise<readonly unknown[]> {
  const query = { all: true, filters: { label: cmdbFilter(cmdbName) } };
  const entries = await engine.json('list containers', { path: ['containers', 'json'], query }, listLimits);
  if (Array.isArray(entries)) return entries;
  throw new Error(`cannot list containers: Docker Engine at ${engine.where} answered something that is not a list`);
}

function isOwn(entry: unknown, { installation }: Owner): boolean {
  return textAt(entry, 'Labels', labels.installation) === installation;
}

function found(entry: unknown, place: Place): FoundInstance[] {
  const id = textAt(entry, 'Labels', labels.instance);
  const app = textAt(entry, 'Labels', labels.app);
  const revision = textAt(entry, 'Labels', labels.revision);
  // The name must match as well, as `stop` finds containers by name.
  const named = id !== undefined && textAt(entry, 'Names', '0') === `/${containerName(id)}`;
  if (id === undefined || app === undefined || revision === undefined || !named) return [];
  const running = runs(entry);
  const address = running ? listedAddress(entry, place) : undefined;
  const paused = textAt(entry, 'State') === 'paused';
  return [{ id, app, revision, running, ...(paused ? { paused } : {}), ...(address ? { address } : {}) }];
}

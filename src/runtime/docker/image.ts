import { messageOf } from '../output/printable.js';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import { unlessAborted } from '../../model/unless-aborted.js';
import { shared } from '../../model/shared-work.js';
import { EngineError, isMissing } from './engine-error.js';
import type { Engine } from './engine.js';
import { jsonLines } from './json-lines.js';
import { entriesAt, textAt } from './reply.js';

const progressEveryMs = 10_000;
const maxPullMs = 3_600_000;
/** Most layers whose progress is tracked; an image has at most 127. */
const maxLayers = 1_000;

interface ImageOptions {
  readonly image: string;
  readonly app: string;
  readonly signal: AbortSignal;
  readonly pulls: Pulls;
  readonly logger: Logger;
  readonly clock: Clock;
}

export interface LocalImage {
  /** The single TCP port that the image exposes. */
  readonly port: number | undefined;
  /** How long the pull took; undefined if the image was there. */
  readonly pulledMs: number | undefined;
}

/** Pulls under way, by image. They outlive a boot that runs out of time, so that the next one finds the image. */
export class Pulls {
  readonly #running = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();

  /** Joins the pull of this image, or starts it with `pull`. */
  join(image: string, pull: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const running = shared(this.#running, image, () => pull(this.#stop.signal));
    // Every boot that waits for it may have ended.
    running.catch(() => undefined);
    return running;
  }

  close(): void {
    this.#stop.abort(new Error('the docker runtime was closed'));
  }
}

/** Pulls the image if the engine lacks it. Throws an Error with its name and the cause if it cannot be pulled. */
export async function ensureImage(engine: Engine, options: ImageOptions): Promise<LocalImage> {
  const present = await inspectImage(engine, options);
  if (present !== undefined) return { port: exposedPort(present), pulledMs: undefined };
  const startedAt = options.clock.monotonic();
  options.logger.info({ app: options.app, image: options.image }, 'image is not on this engine: pulling it');
  try {
    const pulling = options.pulls.join(options.image, (signal) => pull(engine, { ...options, signal }));
    await unlessAborted(pulling, options.signal);
  } catch (error) {
    options.signal.throwIfAborted();
    const cause = error instanceof EngineError && error.reason !== '' ? error.reason : messageOf(error);
    throw new Error(
      `image ${options.image} of app ${options.app} is not on this engine and cannot be pulled: ${cause}. ` +
        'Correct its name, or put it there (docker pull, docker build, docker load)',
      { cause: error },
    );
  }
  const pulledMs = options.clock.monotonic() - startedAt;
  options.logger.info({ app: options.app, image: options.image, durationMs: Math.round(pulledMs) }, 'pulled the image');
  return { port: exposedPort(await inspectImage(engine, options)), pulledMs };
}

async function inspectImage(engine: Engine, { image, signal }: ImageOptions): Promise<unknown> {
  try {
    return await engine.json(`look up image ${image}`, { path: ['images', image, 'json'] }, { signal });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function pull(engine: Engine, { image, app, signal, logger, clock }: ImageOptions): Promise<void> {
  // Without a tag or digest the engine would pull all tags.
  const query = { fromImage: /[:@][^/]*$/.test(image) ? image : `${image}:latest` };
  const request = { method: 'POST', path: ['images', 'create'], query } as const;
  // A registry may be slow; a boot waits only as long as its own limit allows.
  const stream = await engine.stream(`pull image ${image}`, request, { signal, limitMs: 600_000 });
  const limit = new AbortController();
  const timer = clock.after(maxPullMs, () => limit.abort());
  const stop = AbortSignal.any([signal, limit.signal]);
  try {
    await followPull(jsonLines(stream, stop), { image, app, logger, clock });
  } catch (error) {
    if (!limit.signal.aborted) throw error;
    throw new Error(`the pull was not done within ${maxPullMs / 60_000} minutes`, { cause: error });
  } finally {
    timer.cancel();
  }
}

/** Resolves when all lines have come; throws the error that a line reports. */
async function followPull(
  lines: AsyncIterable<unknown>,
  { image, app, logger, clock }: Pick<ImageOptions, 'image' | 'app' | 'logger' | 'clock'>,
): Promise<void> {
  const layers = new Map<string, boolean>();
  let reportedAt = clock.monotonic();
  for await (const line of lines) {
    const error = textAt(line, 'error') ?? textAt(line, 'errorDetail', 'message');
    if (error !== undefined) throw new Error(error);
    const layer = textAt(line, 'id');
    if (layer !== undefined && layers.size < maxLayers && textAt(line, 'status') !== undefined) {
      layers.set(layer, /^(Pull complete|Already exists)$/.test(textAt(line, 'status') ?? ''));
    }
    if (clock.monotonic() - reportedAt < progressEveryMs) continue;
    reportedAt = clock.monotonic();
    const done = [...layers.values()].filter(Boolean).length;
    logger.info({ app, image, layersDone: done, layers: layers.size }, 'still pulling the image');
  }
}

function exposedPort(image: unknown): number | undefined {
  const ports = entriesAt(image, 'Config', 'ExposedPorts')
    .map(([port]) => /^(\d+)\/tcp$/.exec(port)?.[1])
    .filter((port) => port !== undefined);
  return ports.length === 1 ? Number(ports[0]) : undefined;
}

import { createHash } from 'node:crypto';
import { appCodec, type appSchema, containerSchema } from './app-keys.js';
import { codec, nameOf, type Parsed } from './schema/parsed.js';
import type { Shape } from './schema/shape.js';

/**
 * What a customer owns, with plan, defaults and built-ins already merged in; app-keys.ts has its keys. Durations are milliseconds,
 * sizes are bytes. `domains` are normalised host names (lower case, punycode, no port); a leading `*.` matches one label.
 */
export interface App extends Parsed<typeof appSchema> {}

/** Container technologies that a runtime adapter exists for. */
export type RuntimeName = App['runtime'];

/** A host directory or file made visible inside the container. */
export type Mount = App['mounts'][number];

/** Resource limits of one instance; an absent one is unlimited. */
export type Limits = App['limits'];

/** How an instance proves that it can serve: an HTTP GET answered 2xx or 3xx, or an accepted connection that stays open. */
export type Readiness = App['readiness'];

/** The part of an app that its containers are made of. */
export interface Container extends Parsed<typeof containerSchema> {}

/** An app with defaults for what `said` lacks. */
export function appWith(said: Pick<App, 'name' | 'domains' | 'runtime'> & Partial<App>): App {
  return appCodec.complete(said);
}

/** The app as its record in the CMDB says it; `appWith` is the inverse. */
export function recordOf(app: App): unknown {
  return appCodec.recorded(app);
}

/** The app as a file could say it, with all that plan and defaults made of it. */
export function writtenOf(app: App): Readonly<Record<string, unknown>> {
  return appCodec.written(app) as Readonly<Record<string, unknown>>;
}

export function containerOf(app: App): Container {
  return containerCodec.complete(app);
}

/** The app with containers made of something else. */
export function withContainer(app: App, container: Container): App {
  const rest = Object.entries(app).filter(([key]) => !containerKeys.some(({ name }) => name === key));
  return appCodec.complete({ ...Object.fromEntries(rest), ...container });
}

const containerCodec = codec(containerSchema);

const containerKeys = Object.entries(containerSchema.properties as Record<string, Shape>).map(([key, shape]) => ({
  name: nameOf(key, shape) as keyof Container,
  isLater: shape.later === true,
}));

/** A short hash of everything that needs a new container when it changes; not of TTLs, queue and scale. */
export function revisionOf(app: Container): string {
  const said = containerCodec.recorded(app) as Partial<Container>;
  const spec = containerKeys.flatMap(({ name, isLater }): unknown[] => {
    const value = stable(name, said);
    // A later key with its default leaves the revision of running containers as it was.
    if (isLater) return name in said ? [[name, value]] : [];
    return [value];
  });
  return createHash('sha256').update(JSON.stringify(spec)).digest('hex').slice(0, 12);
}

/** The same for the same content, however it is ordered. */
function stable(key: keyof Container, said: Partial<Container>): unknown {
  // `shared` makes no difference to the container.
  if (key === 'mounts') return said.mounts?.map(({ source, target, readOnly }) => [source, target, readOnly]);
  if (key !== 'env' && key !== 'limits') return said[key] ?? null;
  return Object.entries(said[key] ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

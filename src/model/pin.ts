import type { App } from './app.js';

/** The machine that an app's data is on: where its first successful boot made or found it. */
export interface Pin {
  readonly host: string;
  /** Sources of the app's local mounts at that time. With other mounts the pin does not count. */
  readonly sources: readonly string[];
}

/** The part of a deployment that tells where its app's data is. */
interface Pinned {
  readonly pinnedTo?: Pin;
  readonly instances: readonly { readonly host: string }[];
}

/** The pin that a boot on a machine makes; undefined if all that the app mounts is shared by all machines. */
export function pinOf(app: App, host: string): Pin | undefined {
  const sources = localSources(app);
  return sources.length === 0 ? undefined : { host, sources };
}

/** The machine that a deployment is pinned to; undefined if it is not, or if its app mounts other directories now. */
export function pinnedHost({ pinnedTo }: Pinned, app: App): string | undefined {
  if (!pinnedTo || app.mounts.length === 0) return undefined;
  const sources = localSources(app);
  return isSame(sources, pinnedTo.sources) ? pinnedTo.host : undefined;
}

/** The machine on which the app's next instance has to boot: where its data is, or is about to be. Undefined: on any. */
export function bootHostOf(deployment: Pinned, app: App): string | undefined {
  if (!app.mounts.some(({ shared }) => !shared)) return undefined;
  return pinnedHost(deployment, app) ?? deployment.instances[0]?.host;
}

/** The pin after a boot that would make `next`: one that stands for the same directories stays. */
export function repinned(current: Pin | undefined, next: Pin | undefined): { readonly pinnedTo?: Pin } {
  if (!next) return {};
  return { pinnedTo: current && isSame(current.sources, next.sources) ? current : next };
}

function localSources({ mounts }: App): readonly string[] {
  return [...new Set(mounts.filter(({ shared }) => !shared).map(({ source }) => source))].toSorted();
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((source, index) => source === others[index]);
}

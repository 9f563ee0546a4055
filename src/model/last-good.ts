import { type App, type Container, containerOf, revisionOf, withContainer } from './app.js';
import type { Instance } from './instance.js';

/** The revision that became ready last. `container` is kept once the app has another one, which may fail. */
export interface LastGood {
  readonly revision: string;
  readonly container?: Container;
}

/** What a deployment knows of its app's revisions. */
interface Revisions {
  readonly lastGood?: LastGood;
  readonly failedRevision?: { readonly revision: string };
}

/** Keeps what the containers of the last good revision are made of, when the app changes from that revision to another. */
export function keepLastGood<D extends Revisions>(deployment: D, before: App, after: App): D {
  const { lastGood } = deployment;
  if (!lastGood) return deployment;
  const { revision, container } = lastGood;
  if (revision === revisionOf(after)) return container ? { ...deployment, lastGood: { revision } } : deployment;
  if (container || revision !== revisionOf(before)) return deployment;
  return { ...deployment, lastGood: { revision, container: containerOf(before) } };
}

/** The app in its last good revision, which boots if the app's own revision is known to fail; else undefined. */
export function standIn({ failedRevision, lastGood }: Revisions, app: App): App | undefined {
  if (!failedRevision || !lastGood?.container) return undefined;
  const revision = revisionOf(app);
  if (failedRevision.revision !== revision || lastGood.revision === revision) return undefined;
  return withContainer(app, lastGood.container);
}

/** Whether an instance is of the last good revision, while the app's own is known to fail. */
export function standsIn(deployment: Revisions, { revision }: Instance, app: App): boolean {
  return revision === deployment.lastGood?.revision && standIn(deployment, app) !== undefined;
}

/** Whether a failure of this revision leaves another one to boot. */
export function canFallBack({ lastGood }: Revisions, revision: string): boolean {
  return lastGood?.container !== undefined && lastGood.revision !== revision;
}

import { type App, revisionOf } from './app.js';
import type { Instance } from './instance.js';

/** Why an instance that serves well has to end: it is old, its app needs another container now, or an operator wants a fresh one. */
export type OutliveReason = 'lifetime' | 'revision' | 'restart';

/** Lifetimes end up to this part earlier, each instance's own, so that a fleet that booted at once does not end at once. */
const jitter = 0.1;

/** When an instance has been idle for its TTL; Infinity while it is used. */
export function idleAt(instance: Instance, app: App): number {
  if (instance.state !== 'ready' && instance.state !== 'paused') return Infinity;
  const users = Object.values(instance.users);
  if (users.some((user) => user.quietSince === undefined)) return Infinity;
  const lastActiveAt = Math.max(instance.lastActiveAt, ...users.map((user) => user.quietSince ?? 0));
  return lastActiveAt + app.idleTtlMs;
}

/** When an instance has lived its maximum lifetime, less its jitter; the same on every node, for it follows from the id. */
export function expiresAt(instance: Instance, app: App): number {
  const lifetimeMs = Math.round(app.maxLifetimeMs * (1 - jitter * fractionOf(instance.id)));
  return (instance.readyAt ?? instance.bootedAt) + lifetimeMs;
}

/** When an instance has to end although it serves well; 0 if its app has another revision by now, or it is to be restarted. */
export function outlivedAt(instance: Instance, app: App, revision = revisionOf(app)): number {
  return instance.revision === revision && instance.restartAt === undefined ? expiresAt(instance, app) : 0;
}

/** Why a ready instance has to go now; undefined while it may stay. */
export function outlived(instance: Instance, app: App, now: number): OutliveReason | undefined {
  if (instance.revision !== revisionOf(app)) return 'revision';
  if (instance.restartAt !== undefined) return 'restart';
  return now >= expiresAt(instance, app) ? 'lifetime' : undefined;
}

/** A number from 0 up to 1, the same for the same text. Source: FNV-1a with the finalizer of MurmurHash3. */
function fractionOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

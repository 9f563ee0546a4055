import type { AppRecord } from '../cmdb/cmdb.js';
import { type App, revisionOf, writtenOf } from '../model/app.js';
import { appFileSchema } from '../model/app-keys.js';
import type { Breaker } from '../model/breaker.js';
import type { Deployment, FailedRevision } from '../model/deployment.js';
import type { Instance } from '../model/instance.js';
import { expiresAt, idleAt } from '../model/lifetime.js';
import { maintenanceOf } from '../model/maintenance.js';
import { isMapping, type Shape } from '../model/schema/shape.js';
import { oneDecimal } from '../telemetry/one-decimal.js';
import { type Caller, mayDo } from './caller.js';

/** What an app as a whole does: the furthest that an instance of it has come, else whether it may boot. */
export const appStates = ['ready', 'booting', 'paused', 'ending', 'failed', 'asleep', 'removed'] as const;

export type AppState = (typeof appStates)[number];

export function stateOf({ removed, deployment: { instances, breaker } }: AppRecord): AppState {
  const has = (state: Instance['state']) => instances.some((instance) => instance.state === state);
  if (removed) return 'removed';
  if (has('ready')) return 'ready';
  if (has('booting') || has('resuming')) return 'booting';
  if (has('paused') || has('pausing')) return 'paused';
  if (instances.length > 0) return 'ending';
  return breaker ? 'failed' : 'asleep';
}

/** An app in a list. Leaves out the environment, which holds secrets, and what else only its operator needs. */
export function appView(record: AppRecord): Readonly<Record<string, unknown>> {
  const { app, removed, deployment, origin } = record;
  const byState: Record<string, number> = {};
  for (const { state } of deployment.instances) byState[state] = (byState[state] ?? 0) + 1;
  const { breaker, failedRevision, pinnedTo } = deployment;
  const maintenance = maintenanceOf(app, deployment);
  const plan = origin?.api?.written['plan'];
  return {
    name: app.name,
    domains: app.domains,
    labels: app.labels,
    runtime: app.runtime,
    revision: revisionOf(app),
    removed,
    state: stateOf(record),
    scale: app.scale,
    instances: byState,
    sleepsAt: time(lastSleep(deployment, app)),
    ...(plan === undefined ? {} : { plan }),
    ...(pinnedTo ? { pinnedTo: pinnedTo.host } : {}),
    ...(maintenance && { maintenance: maintenance.mode }),
    ...(breaker ? { breaker: failureView(breaker) } : {}),
    ...(failedRevision ? { failedRevision: failureView(failedRevision) } : {}),
  };
}

/** One app with all its keys: as it was written, and as plan and defaults complete it. Only callers that may write see secrets. */
export function wholeView(record: AppRecord, caller: Caller, file: string | undefined): Record<string, unknown> {
  const { app, origin } = record;
  const { api } = origin ?? {};
  const shown = (document: unknown) => (mayDo(caller, 'write') ? document : withoutSecrets(schema, document));
  const effective = shown(writtenOf(app));
  return {
    ...appView(record),
    source: sourceView(record, caller, file),
    app: api ? shown(api.written) : effective,
    effective,
  };
}

const schema = appFileSchema as Shape;

/** `file` is that of this machine. Paths of the host are not for customers. */
function sourceView({ origin }: AppRecord, { labels }: Caller, file: string | undefined): unknown {
  if (!origin) return { kind: 'unknown' };
  const { host, since, customer, api } = origin;
  if (api) return { kind: 'api', token: api.by, host, since: time(since) };
  const path = customer ?? file;
  return { kind: 'file', host, since: time(since), ...(labels === undefined && path !== undefined && { file: path }) };
}

/** The document with `null` for each secret value, which no PUT takes for one. */
function withoutSecrets(shape: Shape | undefined, value: unknown): unknown {
  if (shape?.secret) return null;
  if (!isMapping(value)) return value;
  const [each] = Object.values(shape?.patternProperties ?? {});
  const entries = Object.entries(value).map(([key, child]) => [
    key,
    withoutSecrets(each ?? shape?.properties?.[key], child),
  ]);
  return Object.fromEntries(entries) as unknown;
}

export function instanceViews({ app, deployment }: AppRecord, inflight: ReadonlyMap<string, number>): unknown[] {
  const failed = deployment.failedRevision;
  return deployment.instances.map((instance) => ({
    id: instance.id,
    app: app.name,
    revision: instance.revision,
    state: instance.state,
    runtime: instance.runtime,
    host: instance.host,
    address: instance.address ? `${instance.address.host}:${instance.address.port}` : null,
    bootedAt: time(instance.bootedAt),
    readyAt: time(instance.readyAt),
    expiresAt: time(expiresAt(instance, app)),
    sleepsAt: time(sleepsAt(deployment, instance, app)),
    lastActiveAt: time(instance.lastActiveAt),
    cause: instance.cause ?? null,
    users: usersOf(instance),
    inflight: inflight.get(instance.id) ?? 0,
    boot: oneDecimal(instance.boot),
    ...(instance.replaces ? { replaces: instance.replaces } : {}),
    ...(instance.end ? { end: { reason: instance.end.reason, since: time(instance.end.since) } } : {}),
    ...(failed?.replaces === instance.id ? { failedRevision: failureView(failed) } : {}),
  }));
}

/** When it ends if nobody uses it until then; undefined while somebody does, or `scale.min` keeps it. */
function sleepsAt({ instances }: Deployment, instance: Instance, app: App): number | undefined {
  const at = idleAt(instance, app);
  const isKept =
    instance.state === 'ready' && instances.filter(({ state }) => state === 'ready').length <= app.scale.min;
  return isKept || at === Infinity ? undefined : at;
}

/** When the last of its ready instances ends if nobody uses the app until then. */
function lastSleep(deployment: Deployment, app: App): number | undefined {
  const times = deployment.instances
    .filter(({ state }) => state === 'ready')
    .map((instance) => sleepsAt(deployment, instance, app) ?? Infinity);
  const last = Math.max(...times);
  return Number.isFinite(last) ? last : undefined;
}

function failureView(failure: Breaker | FailedRevision): unknown {
  return { ...failure, retryAt: time(failure.retryAt) };
}

function usersOf({ users }: Instance): unknown[] {
  return Object.entries(users).map(([session, { since, quietSince }]) => ({
    session,
    since: time(since),
    ...(quietSince === undefined ? {} : { quietSince: time(quietSince) }),
  }));
}

function time(epochMs: number | undefined): string | null {
  if (epochMs === undefined) return null;
  const date = new Date(epochMs);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

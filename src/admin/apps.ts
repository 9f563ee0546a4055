import type { FastifyInstance } from 'fastify';
import type { AppRecord } from '../cmdb/cmdb.js';
import { revisionOf } from '../model/app.js';
import type { Breaker } from '../model/breaker.js';
import type { FailedRevision } from '../model/deployment.js';
import type { Instance } from '../model/instance.js';
import { oneDecimal } from '../telemetry/one-decimal.js';
import { expiresAt } from '../model/lifetime.js';
import { problem } from './problem.js';

/** The source of the admin side's answers. */
export interface AdminSource {
  readonly apps: () => AsyncIterable<AppRecord>;
  readonly app: (name: string) => Promise<AppRecord | undefined>;
  /** Only apps with instances. */
  readonly activeApps: () => AsyncIterable<AppRecord>;
  /** Requests and connections under way from this daemon, by instance id. */
  readonly inflight: () => Promise<ReadonlyMap<string, number>>;
}

const instancesQuery = {
  type: 'object',
  properties: { app: { type: 'string', minLength: 1, maxLength: 63 } },
  additionalProperties: false,
} as const;

export function registerApps(server: FastifyInstance, source: AdminSource): void {
  server.get('/v1/apps', async () => {
    const apps: unknown[] = [];
    for await (const record of source.apps()) apps.push(appView(record));
    return apps;
  });

  server.get<{ Querystring: { app?: string } }>(
    '/v1/instances',
    { schema: { querystring: instancesQuery } },
    async ({ query: { app } }, reply) => {
      const instances: unknown[] = [];
      const inflight = await source.inflight();
      if (app === undefined) {
        for await (const record of source.activeApps()) instances.push(...instanceViews(record, inflight));
        return instances;
      }
      const record = await source.app(app);
      if (!record) return problem(reply, 404, 'unknown_app', `There is no app ${app}.`);
      return instanceViews(record, inflight);
    },
  );
}

/** Leaves out environment and mounts, which hold secrets. */
function appView({ app, removed, deployment }: AppRecord): unknown {
  const byState: Record<string, number> = {};
  for (const { state } of deployment.instances) byState[state] = (byState[state] ?? 0) + 1;
  const { breaker, failedRevision, pinnedTo } = deployment;
  return {
    name: app.name,
    domains: app.domains,
    labels: app.labels,
    runtime: app.runtime,
    revision: revisionOf(app),
    removed,
    scale: app.scale,
    instances: byState,
    ...(pinnedTo ? { pinnedTo: pinnedTo.host } : {}),
    ...(breaker ? { breaker: failureView(breaker) } : {}),
    ...(failedRevision ? { failedRevision: failureView(failedRevision) } : {}),
  };
}

function instanceViews({ app, deployment }: AppRecord, inflight: ReadonlyMap<string, number>): unknown[] {
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
    lastActiveAt: time(instance.lastActiveAt),
    users: usersOf(instance),
    inflight: inflight.get(instance.id) ?? 0,
    boot: oneDecimal(instance.boot),
    ...(instance.replaces ? { replaces: instance.replaces } : {}),
    ...(instance.end ? { end: { reason: instance.end.reason, since: time(instance.end.since) } } : {}),
    ...(failed?.replaces === instance.id ? { failedRevision: failureView(failed) } : {}),
  }));
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

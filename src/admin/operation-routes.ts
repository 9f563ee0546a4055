import { randomBytes } from 'node:crypto';
import type { AppRecord, Cmdb, DeploymentChange, Updated } from '../cmdb/cmdb.js';
import type { Clock } from '../model/clock.js';
import { type Deployment, emptyDeployment, findInstance } from '../model/deployment.js';
import { isSuspended } from '../model/instance.js';
import { drainInstances, isUp, restartInstances, stopInstances, wake } from '../model/operations.js';
import { bootHostOf } from '../model/pin.js';
import { ApiError, unknownApp } from './api-error.js';
import { stateOf } from './app-view.js';
import type { AuditEntry } from './audit.js';
import type { StoreChanges } from './store-changes.js';
import { known } from './caller.js';
import type { ApiAnswer, ApiRequest, JsonSchema, Route } from './route.js';

/** What operations need. They write what should be into the store; the nodes that see the instances carry it out. */
export interface OperationsSource {
  readonly cmdb: Pick<Cmdb, 'find' | 'update'>;
  /** Name of this machine, whose nodes boot what is not pinned to another one. */
  readonly host: string;
  /** Whether apps with local mounts stay on the machine of their first boot. */
  readonly pins: boolean;
  /** False while the store may lack instances that run. */
  readonly isComplete: () => boolean;
  /** Makes all processes of this machine see a change of the app. Resolves to whether other machines have yet to. */
  readonly spread: (app: string) => Promise<'now' | 'soon'>;
  /** Notes who did what. */
  readonly audit: (entry: AuditEntry) => void;
  readonly changes: StoreChanges;
  readonly clock: Clock;
}

/** One call of an operation. */
interface Operation {
  readonly name: string;
  readonly request: ApiRequest;
  readonly source: OperationsSource;
}

/** Upper bound for waiting for what was begun; less than an answer may take. */
const mostWaitMs = 50_000;
/** Longest interval between looks at what was begun, if no change is told. */
const lookMs = 1_000;

const wait = {
  type: 'boolean',
  default: true,
  description: `Wait until it is done, for at most ${mostWaitMs / 1_000} s.`,
};

const operatedSchema: JsonSchema = {
  type: 'object',
  required: ['name', 'state', 'instances', 'done'],
  properties: {
    name: { type: 'string' },
    state: { type: 'string', description: 'Of the app, as in `GET /v1/apps`.' },
    instances: { type: 'array', items: { type: 'string' }, description: 'The instances that it concerns.' },
    done: { type: 'boolean', description: 'False: it goes on.' },
  },
};

const answers: Route['answers'] = {
  200: { description: 'It is done.', schema: operatedSchema },
  202: { description: 'It is begun, and goes on.', schema: operatedSchema },
};

/** Operations on an app, wherever it came from: they change what runs, not what the app is. */
export function operationRoutes(source: OperationsSource): readonly Route[] {
  const route = (
    action: string,
    summary: string,
    run: (operation: Operation) => Promise<ApiAnswer>,
    more: Pick<Route, 'query' | 'errors'>,
  ): Route => ({
    method: 'POST',
    path: `/v1/apps/{name}/${action}`,
    scope: 'operate',
    summary,
    answers,
    ...more,
    handle: (request) => run({ name: request.params['name'] ?? '', request, source }),
  });
  return [
    route('boot', 'Wakes an app, even in the back-off after a failed boot.', boot, {
      query: { wait },
      errors: ['unknown_app', 'boot_failed', 'boot_timeout'],
    }),
    route('stop', 'Ends all instances of an app; the next request wakes it again.', stop, {
      query: { wait },
      errors: ['unknown_app'],
    }),
    route('restart', 'Replaces the instances of an app that are in use by fresh ones, and ends the others.', restart, {
      query: { wait },
      errors: ['unknown_app', 'boot_failed', 'boot_timeout'],
    }),
    route('drain', 'Sends nothing more to the ready instances of an app; they end when their requests have.', drain, {
      errors: ['unknown_app'],
    }),
  ];
}

async function boot(operation: Operation): Promise<ApiAnswer> {
  const { name, source } = operation;
  const { cmdb, host, pins, isComplete, clock } = source;
  if (!isComplete()) throw new ApiError('cmdb_unavailable', 'The store was replaced, and may lack what runs.');
  const { deployment: before } = await recordOf(operation);
  const id = `${name}-${randomBytes(6).toString('hex')}`;
  let awaited: string | undefined;
  const claim = async () => {
    const change: DeploymentChange = (current, app) => {
      const place = app && pins ? bootHostOf(current, app) : undefined;
      return app ? wake(current, app, { id, host: place ?? host }, clock.now()) : current;
    };
    const { deployment } = await cmdb.update(name, change, { by: operation.request.caller.name });
    awaited = deployment.instances.find(isUp)?.id;
    if (awaited === id) source.audit(entryOf(operation, 'boot', `instance ${id} boots`));
    return deployment;
  };
  return untilDone(operation, async () => {
    // Without room for it, one has to end first.
    const deployment = awaited === undefined ? await claim() : (await recordOf(operation)).deployment;
    const up = deployment.instances.filter(isUp);
    if (awaited !== undefined && !up.some((each) => each.id === awaited)) throw failureOf(name, before, deployment);
    return { instances: up.map((each) => each.id), isDone: up.some(({ state }) => state === 'ready') };
  });
}

async function stop(operation: Operation): Promise<ApiAnswer> {
  const { before } = await change(operation, 'stop', stopInstances);
  const ids = before.instances.map(({ id }) => id);
  return untilDone(operation, async () => {
    const deployment = await deploymentOf(operation);
    return { instances: ids, isDone: !ids.some((id) => findInstance(deployment, id)) };
  });
}

async function drain(operation: Operation): Promise<ApiAnswer> {
  const { before } = await change(operation, 'drain', drainInstances);
  const ids = idsInService(before);
  return answerOf(operation, { instances: ids, isDone: ids.length === 0 });
}

async function restart(operation: Operation): Promise<ApiAnswer> {
  const { before, deployment: begun } = await change(operation, 'restart', restartInstances);
  const ids = idsInService(before);
  return untilDone(operation, async () => {
    const deployment = await deploymentOf(operation);
    const { failedRevision } = deployment;
    const isNew = failedRevision?.retryAt !== begun.failedRevision?.retryAt;
    if (isNew && ids.includes(failedRevision?.replaces ?? '')) throw failureOf(operation.name, begun, deployment);
    return { instances: ids, isDone: !idsInService(deployment).some((id) => ids.includes(id)) };
  });
}

/** Those that a drain or a restart concerns. */
function idsInService({ instances }: Deployment): readonly string[] {
  return instances.filter((each) => each.state === 'ready' || isSuspended(each)).map(({ id }) => id);
}

/** Writes what should be. The processes of this machine have seen it when this resolves. */
async function change(
  operation: Operation,
  action: string,
  how: (deployment: Deployment, now: number) => Deployment,
): Promise<Updated> {
  const { name, source } = operation;
  await recordOf(operation);
  const updated = await source.cmdb.update(name, (current) => how(current, source.clock.now()), {
    by: operation.request.caller.name,
  });
  const { before, deployment } = updated;
  if (deployment === before) return updated;
  source.audit(entryOf(operation, action, `of ${before.instances.length} instances`));
  await source.spread(name);
  return updated;
}

function entryOf({ name, request }: Operation, action: string, what: string): AuditEntry {
  return { by: request.caller.name, action, app: name, changes: [`app ${name}: ${action}, ${what}`] };
}

/** Throws `unknown_app`. */
async function recordOf({ name, request, source }: Operation): Promise<AppRecord> {
  const record = known(request.caller, await source.cmdb.find({ app: name }));
  if (!record || record.removed) throw unknownApp(name);
  return record;
}

/** Also of an app that was removed meanwhile. */
async function deploymentOf({ name, source }: Operation): Promise<Deployment> {
  return (await source.cmdb.find({ app: name }))?.deployment ?? emptyDeployment(name);
}

interface Looked {
  /** Those that the operation concerns. */
  readonly instances: readonly string[];
  readonly isDone: boolean;
}

/** Looks until it is done, the limit is reached, or nobody waits. */
async function untilDone(operation: Operation, look: () => Promise<Looked>): Promise<ApiAnswer> {
  const { name, request, source } = operation;
  const { changes, clock } = source;
  const until = clock.monotonic() + mostWaitMs;
  const listener = changes.listen(request.signal, name);
  try {
    for (;;) {
      const looked = await look();
      const leftMs = request.query['wait'] === true && !request.signal.aborted ? until - clock.monotonic() : 0;
      if (looked.isDone || leftMs <= 0) return await answerOf(operation, looked);
      await listener.next(Math.min(lookMs, leftMs));
    }
  } finally {
    listener.close();
  }
}

async function answerOf({ name, source }: Operation, { instances, isDone }: Looked): Promise<ApiAnswer> {
  const record = await source.cmdb.find({ app: name });
  const state = record ? stateOf(record) : 'removed';
  return { status: isDone ? 200 : 202, body: { name, state, instances, done: isDone } };
}

/** Why what was waited for is not there: a failure that was noted since, or that it was broken off. */
function failureOf(name: string, before: Deployment, { breaker, failedRevision }: Deployment): ApiError {
  const failure = [breaker, failedRevision].find(
    (each) => each && each.retryAt !== before.breaker?.retryAt && each.retryAt !== before.failedRevision?.retryAt,
  );
  if (!failure) return new ApiError('boot_failed', `The boot of ${name} was broken off; the log says why.`);
  return new ApiError(failure.code, `App ${name} did not boot: ${failure.message}`);
}

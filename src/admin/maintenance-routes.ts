import type { AppRecord } from '../cmdb/cmdb.js';
import { readMaintenance } from '../config/app-document.js';
import { formatDuration } from '../model/units.js';
import { orderMaintenance, type OrderedMaintenance } from '../model/maintenance.js';
import { ApiError, unknownApp } from './api-error.js';
import { known } from './caller.js';
import type { OperationsSource } from './operation-routes.js';
import type { ApiAnswer, ApiRequest, Route } from './route.js';
import { maintenanceViewSchema } from './schemas.js';

type Source = Pick<OperationsSource, 'cmdb' | 'spread' | 'audit' | 'clock'>;

const path = '/v1/apps/{name}/maintenance';
const answers: Route['answers'] = {
  200: {
    description: 'It holds.',
    schema: {
      type: 'object',
      required: ['name', 'maintenance'],
      properties: {
        name: { type: 'string' },
        maintenance: maintenanceViewSchema,
        takesEffect: { enum: ['now', 'soon'] },
      },
    },
  },
};

/** Maintenance is no edit of an app: it stands beside what its file says, and goes with the app. */
export function maintenanceRoutes(source: Source): readonly Route[] {
  return [
    {
      method: 'PUT',
      path,
      scope: 'operate',
      summary: 'Answers in the place of an app, lets its requests wait, or neither, whatever the app itself says.',
      body: {
        description: 'As the key `maintenance` of an app; `mode` is required.',
        types: ['application/json'],
        schema: { $ref: '#/components/schemas/Maintenance' },
        mostBytes: 16 * 1024,
      },
      answers,
      errors: ['unknown_app', 'payload_too_large', 'unsupported_media_type', 'invalid_app'],
      handle: (request) => {
        const read = readMaintenance(request.body);
        if (read.faults) {
          const [first] = read.faults;
          throw new ApiError('invalid_app', `The maintenance is not valid: ${first?.path} ${first?.message}`, {
            problems: read.faults,
          });
        }
        const order = { ...read.maintenance, by: request.caller.name, since: source.clock.now() };
        return change(request, source, order);
      },
    },
    {
      method: 'DELETE',
      path,
      scope: 'operate',
      summary: 'Leaves it to the app itself again.',
      answers,
      errors: ['unknown_app'],
      handle: (request) => change(request, source, undefined),
    },
  ];
}

async function change(
  { caller, params: { name = '' } }: ApiRequest,
  { cmdb, spread, audit }: Source,
  order: OrderedMaintenance | undefined,
): Promise<ApiAnswer> {
  const record = known(caller, await cmdb.find({ app: name }));
  if (!record || record.removed) throw unknownApp(name);
  const { before, deployment } = await cmdb.update(
    name,
    (current) => (isSame(current.maintenance, order) ? current : orderMaintenance(current, order)),
    { by: caller.name },
  );
  const body = { name, maintenance: maintenanceView({ ...record, deployment }) };
  if (deployment === before) return { body };
  const said = order ? order.mode : 'as the app says';
  audit({ by: caller.name, action: 'maintenance', app: name, changes: [`app ${name}: maintenance ${said}`] });
  return { body: { ...body, takesEffect: await spread(name) } };
}

/** Whether two orders say the same, whoever gave them. */
function isSame(a: OrderedMaintenance | undefined, b: OrderedMaintenance | undefined): boolean {
  const said = (order: OrderedMaintenance | undefined) =>
    order && JSON.stringify([order.mode, order.text, order.retryAfterMs, order.limitMs]);
  return said(a) === said(b);
}

/** What holds, and who says so. */
export function maintenanceView({ app, deployment }: Pick<AppRecord, 'app' | 'deployment'>): unknown {
  const order = deployment.maintenance;
  const { mode, text, retryAfterMs, limitMs } = order ?? app.maintenance;
  return {
    mode,
    ...(text !== undefined && { text }),
    retryAfter: formatDuration(retryAfterMs),
    limit: formatDuration(limitMs),
    source: order ? 'operator' : 'app',
    ...(order && { token: order.by, since: new Date(order.since).toISOString() }),
  };
}

import type { AppEdit, AppRecord, Cmdb, Edited } from '../cmdb/cmdb.js';
import { changesOfApp } from '../config/changes.js';
import type { AppSources } from '../config/resolve-app.js';
import { namePattern } from '../model/app-keys.js';
import type { Clock } from '../model/clock.js';
import { ApiError, type ApiErrorCode, unknownApp } from './api-error.js';
import { domainEdit, type EditTerms, patchEdit, putEdit, removeEdit } from './app-edit.js';
import { type AppFilter, pageOf } from './app-list.js';
import type { AuditEntry } from './audit.js';
import { appStates, instanceViews, wholeView } from './app-view.js';
import { type Caller, known, knows } from './caller.js';
import { etagOf, isKnownTo, type Preconditions } from './etag.js';
import type { ApiAnswer, ApiRequest, Route } from './route.js';
import { appSchema, removedAppSchema, wholeAppSchema } from './schemas.js';

/** What the routes of apps read and change. */
export interface AppsSource {
  readonly cmdb: Pick<Cmdb, 'find' | 'list' | 'edit'>;
  /** Requests and connections under way from this daemon, by instance id. */
  readonly inflight: () => Promise<ReadonlyMap<string, number>>;
  /** Name of this machine. */
  readonly host: string;
  /** The file of this machine that has an app. */
  readonly fileOf: (app: string) => string | undefined;
  readonly sources: () => Pick<AppSources, 'plans' | 'defaults'>;
  /** Makes all processes of this machine see a change of the app. Resolves to whether other machines have yet to. */
  readonly spread: (app: string) => Promise<'now' | 'soon'>;
  /** Notes who changed what. */
  readonly audit: (entry: AuditEntry) => void;
  readonly clock: Pick<Clock, 'now'>;
}

interface ListQuery extends AppFilter {
  readonly limit: number;
  readonly after: string;
}

const mostOnPage = 1_000;
/** As much as a customer's file may have. */
const mostBytes = 64 * 1024;
const dryRun = { type: 'boolean', default: false, description: 'Change nothing, and tell what would change.' };
const editErrors = ['app_in_file', 'app_unreadable', 'precondition_failed'] as const satisfies ApiErrorCode[];
const putErrors = ['domain_taken', 'payload_too_large', 'unsupported_media_type', 'invalid_app'] as const;

export function appRoutes(source: AppsSource): readonly Route[] {
  const { cmdb } = source;
  return [
    {
      method: 'GET',
      path: '/v1/apps',
      scope: 'read',
      summary: 'Lists apps in the order of their names. A Link header with rel="next" leads to the next page.',
      query: {
        state: { enum: appStates, description: 'Only apps in this state.' },
        plan: { type: 'string', maxLength: 200, description: 'Only apps that were put by API with this plan.' },
        label: {
          type: 'array',
          maxItems: 20,
          items: { type: 'string', maxLength: 300 },
          description: 'Only apps with this label: NAME=VALUE, or NAME. Of several, all.',
        },
        text: { type: 'string', minLength: 1, maxLength: 255, description: 'Part of the name or of a domain.' },
        limit: { type: 'integer', minimum: 1, maximum: mostOnPage, default: mostOnPage, description: 'Apps at most.' },
        after: { type: 'string', maxLength: 255, default: '', description: 'Only apps whose names follow this one.' },
      },
      answers: {
        200: {
          description: 'The apps.',
          schema: { type: 'array', items: { $ref: '#/components/schemas/AppSummary' } },
        },
      },
      errors: [],
      handle: async ({ caller, query }) => {
        const { limit, after, ...filter } = query as unknown as ListQuery;
        const { apps, next } = await pageOf(cmdb.list('all', after), { caller, filter, limit });
        return { body: apps, headers: next === undefined ? {} : { link: `<${linkTo(query, next)}>; rel="next"` } };
      },
    },
    {
      method: 'GET',
      path: '/v1/apps/{name}',
      scope: 'read',
      summary: 'Tells everything of an app.',
      headers: ['If-None-Match'],
      answers: {
        200: { description: 'The app. Its ETag names its content.', schema: wholeAppSchema },
        304: { description: 'If-None-Match has its ETag.' },
      },
      errors: ['unknown_app'],
      handle: async ({ caller, params, headers }) => {
        const record = known(caller, await cmdb.find({ app: nameOf(params) }));
        if (!record || record.removed) throw unknownApp(nameOf(params));
        const etag = etagOf(record);
        if (isKnownTo(preconditionsOf(headers), etag)) return { status: 304, headers: { etag } };
        return { headers: { etag }, body: wholeView(record, caller, fileHere(record, source)) };
      },
    },
    {
      method: 'PUT',
      path: '/v1/apps/{name}',
      scope: 'write',
      summary: 'Makes an app, or puts another content in its place. Values of plan and defaults are as of now.',
      query: { dryRun },
      headers: ['If-Match', 'If-None-Match'],
      body: {
        description: 'The app, as in a file; its name may be left out.',
        types: ['application/json'],
        schema: appSchema,
        mostBytes,
      },
      answers: {
        200: { description: 'It is changed, or was so already.', schema: wholeAppSchema },
        201: { description: 'It is made.', schema: wholeAppSchema },
      },
      errors: ['name_taken', ...putErrors, ...editErrors],
      handle: (request) => put(request, 'put', putEdit(request.body, editTerms(request, source)), source),
    },
    {
      method: 'PATCH',
      path: '/v1/apps/{name}',
      scope: 'write',
      summary:
        'Changes what was written of an app by a merge patch (RFC 7396). An empty one takes over what plan and defaults say now.',
      query: { dryRun },
      headers: ['If-Match', 'If-None-Match'],
      body: {
        description: 'The keys that change; null takes one away.',
        types: ['application/merge-patch+json', 'application/json'],
        schema: { type: 'object' },
        mostBytes,
      },
      answers: { 200: { description: 'It is changed, or was so already.', schema: wholeAppSchema } },
      errors: ['unknown_app', ...putErrors, ...editErrors],
      handle: (request) => put(request, 'patch', patchEdit(request.body, editTerms(possible(request), source)), source),
    },
    {
      method: 'DELETE',
      path: '/v1/apps/{name}',
      scope: 'write',
      summary: 'Removes an app: no domain leads to it from now on, and its instances end when their requests have.',
      query: { dryRun },
      headers: ['If-Match'],
      answers: { 200: { description: 'It is removed.', schema: removedAppSchema } },
      errors: ['unknown_app', ...editErrors],
      handle: (request) => remove(request, source),
    },
    domainRoute('PUT', 'Adds a domain to an app.', source),
    domainRoute('DELETE', 'Takes a domain from an app; the last one stays.', source),
    {
      method: 'GET',
      path: '/v1/instances',
      scope: 'read',
      summary: 'Lists instances, of all apps or of one.',
      query: { app: { type: 'string', minLength: 1, maxLength: 63, description: 'Only those of this app.' } },
      answers: {
        200: {
          description: 'The instances.',
          schema: { type: 'array', items: { $ref: '#/components/schemas/Instance' } },
        },
      },
      errors: ['unknown_app'],
      handle: async ({ caller, query }) => ({
        body: await instances(caller, query['app'] as string | undefined, source),
      }),
    },
  ];
}

function domainRoute(method: 'PUT' | 'DELETE', summary: string, source: AppsSource): Route {
  return {
    method,
    path: '/v1/apps/{name}/domains/{domain}',
    scope: 'write',
    summary,
    query: { dryRun },
    headers: ['If-Match', 'If-None-Match'],
    answers: { 200: { description: 'It is changed, or was so already.', schema: wholeAppSchema } },
    errors: ['unknown_app', 'unknown_domain', 'domain_taken', 'invalid_app', ...editErrors],
    handle: (request) => {
      const { domain = '' } = request.params;
      const edit = domainEdit(domain, method === 'PUT', editTerms(possible(request), source));
      return put(request, 'patch', edit, source);
    },
  };
}

async function instances(caller: Caller, app: string | undefined, { cmdb, inflight }: AppsSource): Promise<unknown[]> {
  const counts = await inflight();
  if (app !== undefined) {
    const record = known(caller, await cmdb.find({ app }));
    if (!record) throw unknownApp(app);
    return instanceViews(record, counts);
  }
  const found: unknown[] = [];
  for await (const record of cmdb.list('active'))
    if (knows(caller, record.app)) found.push(...instanceViews(record, counts));
  return found;
}

async function put(
  { caller, params, query }: ApiRequest,
  action: string,
  change: (before: Parameters<Parameters<Cmdb['edit']>[1]>[0]) => Exclude<AppEdit, 'remove'>,
  source: AppsSource,
): Promise<ApiAnswer> {
  const [name, isDry] = [nameOf(params), query['dryRun'] === true];
  const edited = await source.cmdb.edit(name, change, { dryRun: isDry });
  await refuseConflicts(edited, caller, source);
  const { before, edit } = edited;
  const was = typeof before === 'object' && !before.removed ? before : undefined;
  const changes =
    edit === 'keep'
      ? []
      : was
        ? changesOfApp(was.app, edit.app)
        : [`app ${name} ${isDry ? 'would be added' : 'added'}`];
  const record: AppRecord =
    edit === 'keep'
      ? (was as AppRecord)
      : {
          ...edit,
          removed: false,
          version: was?.version ?? '',
          deployment: typeof before === 'object' ? before.deployment : { app: name, instances: [] },
        };
  const view = wholeView(record, caller, undefined);
  const told = await tell({ caller, action, name, isDry, isKept: edit === 'keep', changes }, source);
  return { status: was || isDry ? 200 : 201, headers: { etag: etagOf(record) }, body: { ...view, ...told } };
}

async function remove(request: ApiRequest, source: AppsSource): Promise<ApiAnswer> {
  const { caller, params, query } = request;
  const [name, isDry] = [nameOf(params), query['dryRun'] === true];
  const change = removeEdit(editTerms(possible(request), source));
  const { before } = await source.cmdb.edit(name, change, { dryRun: isDry });
  const changes = [`app ${name} ${isDry ? 'would be removed' : 'removed'}`];
  const told = await tell({ caller, action: 'remove', name, isDry, isKept: false, changes }, source);
  const ending = typeof before === 'object' ? before.deployment.instances.length : 0;
  return { body: { name, ending, ...told } };
}

interface Told {
  readonly caller: Caller;
  readonly action: string;
  readonly name: string;
  readonly isDry: boolean;
  readonly isKept: boolean;
  readonly changes: readonly string[];
}

/** Notes a change that is stored, and lets this machine's processes see it. */
async function tell({ caller, action, name, isDry, isKept, changes }: Told, source: AppsSource): Promise<object> {
  if (isDry) return { changes, dryRun: true };
  if (isKept) return { changes };
  source.audit({ by: caller.name, action, app: name, changes });
  return { changes, takesEffect: await source.spread(name) };
}

/** The owner of a domain is named only to callers that know it. */
async function refuseConflicts({ conflicts }: Edited, caller: Caller, { cmdb }: AppsSource): Promise<void> {
  const [first] = conflicts;
  if (!first) return;
  const owner = known(caller, await cmdb.find({ app: first.ownedBy }));
  const more = conflicts.length > 1 ? `, and ${conflicts.length - 1} more of its domains are taken` : '';
  const whose = owner ? `to app ${first.ownedBy}` : 'to another app';
  throw new ApiError('domain_taken', `Domain ${first.domain} belongs ${whose}${more}.`, {
    problems: conflicts.slice(0, 10).map(({ domain }) => ({ path: 'domains', message: `${domain} belongs ${whose}` })),
  });
}

/** The request, if there can be an app of its name. */
function possible(request: ApiRequest): ApiRequest {
  const name = nameOf(request.params);
  if (!new RegExp(namePattern).test(name)) throw unknownApp(name);
  return request;
}

function editTerms({ caller, params, headers }: ApiRequest, source: AppsSource): EditTerms {
  const name = nameOf(params);
  const { fileOf, host, clock, sources } = source;
  const preconditions = preconditionsOf(headers);
  return { name, caller, preconditions, sources: sources(), file: fileOf(name), host, now: clock.now() };
}

function fileHere({ app, origin }: AppRecord, { host, fileOf }: AppsSource): string | undefined {
  return origin?.host === host ? fileOf(app.name) : undefined;
}

function preconditionsOf(headers: ApiRequest['headers']): Preconditions {
  const [ifMatch, ifNoneMatch] = [headers['if-match'], headers['if-none-match']];
  return { ifMatch: ifMatch?.toString(), ifNoneMatch: ifNoneMatch?.toString() };
}

function nameOf({ name = '' }: ApiRequest['params']): string {
  return name;
}

function linkTo(query: ApiRequest['query'], after: string): string {
  const pairs = Object.entries({ ...query, after }).flatMap(([key, value]) =>
    [value as string | number | string[]].flat().map((one): [string, string] => [key, `${one}`]),
  );
  return `/v1/apps?${new URLSearchParams(pairs).toString()}`;
}

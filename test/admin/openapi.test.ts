import { Validator } from '@seriousme/openapi-schema-validator';
import t, { type Test } from 'tap';
import type { AdminOptions } from '../../src/admin/admin.js';
import { type ApiErrorCode, apiErrorTable } from '../../src/admin/api-error.js';
import { scopes } from '../../src/admin/caller.js';
import { hashOf } from '../../src/admin/credentials.js';
import { RequestError } from '../../src/model/errors.js';
import { adminRecord, cmdbOf, startAdmin } from '../fixtures/admin-server.js';
import { type ApiCall, type ApiReply, callApi } from '../fixtures/api.js';
import { sendRaw } from '../fixtures/raw.js';

/** What these tests read of the document. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
}
interface Operation {
  readonly operationId: string;
  readonly 'x-scope': (typeof scopes)[number] | 'none';
  readonly 'x-most-bytes'?: number;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const tokens = scopes.map((scope) => ({ name: scope, scope, hash: hashOf(scope), labels: {}, images: [] }));
const all = { name: 'shop', domain: 'shop.example' };

async function start(t: Test, overrides: Partial<AdminOptions> = {}) {
  const origin = { host: 'here', since: 0, api: { by: 'panel', written: {} } };
  const { address } = await startAdmin(t, {
    ...{ tokens: () => tokens, cmdb: cmdbOf({ ...adminRecord, origin }) },
    ...overrides,
  });
  const admin = `http://${address}`;
  const { body, text } = await callApi(admin, 'GET', '/openapi.json', { token: 'read' });
  const document = body as Document;
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  return { admin, document, text, operations };
}

type Row = Awaited<ReturnType<typeof start>>['operations'][number];

function pathOf(path: string, values: Readonly<Record<string, string>> = all): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? name);
}

/** Such as a body of the right type, if it takes one. */
function call({ operation }: Row, more: ApiCall = {}): ApiCall {
  const [type] = Object.keys(operation.requestBody?.content ?? {});
  const headers = type === undefined ? {} : { 'content-type': type };
  return {
    token: 'write',
    ...(type !== undefined && { body: '{}' }),
    ...more,
    headers: { ...headers, ...more.headers },
  };
}

function refused(t: Test, reply: ApiReply, statuses: readonly number[], { operation }: Row, why: string): void {
  const { status, headers, body } = reply;
  t.ok(statuses.includes(status), `${operation.operationId}, ${why}: ${status}`);
  t.match(headers['content-type'], /^application\/problem\+json/, why);
  const row = apiErrorTable[body['code'] as ApiErrorCode];
  t.match(body, { status, code: String, detail: String, title: row?.title, remedy: row?.remedy }, why);
  t.ok(operation.responses[status]?.content?.['application/problem+json'], `${status} is in the document`);
}

t.test('the document is valid, and has every route', async (t) => {
  const { document, text, operations } = await start(t);
  const { valid, errors } = await new Validator().validate(JSON.parse(text));
  t.ok(valid, JSON.stringify(errors)?.slice(0, 1_000));
  t.ok(operations.length > 15, `${operations.length} operations`);
  const ids = operations.map(({ operation }) => operation.operationId);
  t.equal(new Set(ids).size, ids.length, 'each has a name of its own');
  const refs = [...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
  for (const name of new Set(refs)) t.ok(document.components.schemas[name!], name ?? '');
});

t.test('each route is only for tokens of its scope', async (t) => {
  const { admin, operations } = await start(t);
  for (const row of operations) {
    const { method, path, operation } = row;
    const needed = operation['x-scope'];
    if (needed === 'none') continue;
    for (const token of ['', 'wrong'])
      refused(t, await callApi(admin, method, pathOf(path), call(row, { token })), [401], row, `token "${token}"`);
    for (const token of scopes.slice(0, scopes.indexOf(needed)))
      refused(t, await callApi(admin, method, pathOf(path), call(row, { token })), [403], row, token);
  }
});

t.test('each route refuses a query that it does not know', async (t) => {
  const { admin, operations } = await start(t);
  for (const row of operations) {
    const { method, path, operation } = row;
    const bad = operation.parameters.flatMap((parameter) =>
      parameter.in === 'query' ? wrongQueries(parameter.name, parameter.schema) : [],
    );
    for (const query of ['unknown=1', ...bad]) {
      const reply = await callApi(admin, method, `${pathOf(path)}?${query}`, call(row));
      refused(t, reply, [400], row, query.slice(0, 40));
    }
  }
});

function wrongQueries(name: string, { type, enum: words, maxLength, maxItems }: Schema): string[] {
  return [
    ...(type === 'integer' || type === 'boolean' || words ? [`${name}=maybe`, `${name}=`] : []),
    ...(maxLength === undefined ? [] : [`${name}=${'x'.repeat(maxLength + 1)}`]),
    ...(maxItems === undefined
      ? []
      : [
          Array(maxItems + 1)
            .fill(`${name}=x`)
            .join('&'),
        ]),
    ...(type === 'array' ? [] : [`${name}=1&${name}=2`]),
  ];
}

t.test('each route reads no body but one that it takes', async (t) => {
  const { admin, operations, document } = await start(t);
  for (const row of operations) {
    const { method, path, operation } = row;
    if (method === 'GET') continue;
    const send = (body: unknown, headers: Record<string, string> = {}) =>
      callApi(admin, method, pathOf(path), call(row, { body, headers }));
    const [type, { schema } = {}] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
    const mostBytes = operation['x-most-bytes'];
    if (!schema || type === undefined || mostBytes === undefined) {
      refused(t, await send('{}', { 'content-type': 'application/json' }), [400], row, 'a body where none is taken');
      continue;
    }
    refused(t, await send('{}', { 'content-type': 'text/plain' }), [415], row, 'another type');
    refused(t, await send(JSON.stringify({ x: 'x'.repeat(mostBytes) })), [413], row, 'too many bytes');
    refused(t, await send(`${'['.repeat(40)}${']'.repeat(40)}`), [400], row, 'too deep');
    for (const text of ['', '{', '{"a": 1,}', '{"a": 1} 2', "{'a': 1}", '{"__proto__": {}}'])
      refused(t, await send(text), [400], row, text);
    for (const text of [
      '{"mode": "off", "mode": "page"}',
      '{"a": {"b": 1, "\\u0062": 2}}',
      '{"a": [{"c": 1, "c": 1}]}',
    ])
      t.match((await send(text)).body, { code: 'bad_request', detail: /twice/ }, text);
    for (const body of ['[]', '1', 'null', '"x"', 'true']) refused(t, await send(body), [400, 422], row, body);
    refused(t, await send({ unknown: 1 }), [422], row, 'an unknown key');
    for (const key of Object.keys(propertiesOf(schema, document)))
      refused(t, await send({ [key]: [[[]]] }), [422], row, `a wrong ${key}`);
  }
});

function propertiesOf({ $ref, properties = {} }: Schema, { components }: Document): Readonly<Record<string, Schema>> {
  const named = $ref === undefined ? undefined : components.schemas[$ref.split('/').at(-1)!];
  return named?.properties ?? properties;
}

t.test('each route refuses names that lead nowhere, or are none', async (t) => {
  const { admin, operations } = await start(t);
  for (const row of operations) {
    const { method, path, operation } = row;
    const parameters = operation.parameters.filter((each) => each.in === 'path').map(({ name }) => name);
    for (const name of parameters) {
      const at = (value: string) => callApi(admin, method, pathOf(path, { ...all, [name]: value }), call(row));
      refused(t, await at('%zz'), [400], row, '%zz');
      refused(t, await at('%ff'), [400], row, '%ff');
      refused(t, await at('x'.repeat(5_000)), [400, 404], row, 'a long name');
      // A name is unknown, or one under which an app can be made: then the body is what is wrong.
      for (const value of ['nobody', '%00', '..%2fadmin', 'x'.repeat(300)])
        refused(t, await at(value), [400, 404, 422], row, value.slice(0, 20));
    }
  }
});

t.test('while the store is away, each route that needs it says so', async (t) => {
  const away = async () => {
    throw new RequestError('cmdb_unavailable');
  };
  const cmdb: AdminOptions['cmdb'] = {
    find: away,
    edit: away,
    update: away,
    ledger: away,
    list: () => listAway(),
    usage: () => listAway(),
  };
  const { admin, operations } = await start(t, { cmdb });
  for (const row of operations.filter(({ path }) => path.startsWith('/v1/') && path !== '/v1/caller')) {
    const { method, path, operation } = row;
    const body = operation.operationId.includes('Maintenance') ? { mode: 'page' } : validApp;
    const reply = await callApi(admin, method, pathOf(path), call(row, operation.requestBody && { body }));
    refused(t, reply, [503], row, 'store away');
    t.equal(reply.headers['retry-after'], '1');
  }
});

const validApp = { domains: 'shop.example', runtime: 'docker', image: 'shop:1' };

// oxlint-disable-next-line require-yield -- it has nothing to give
async function* listAway(): AsyncGenerator<never> {
  throw new RequestError('cmdb_unavailable');
}

t.test('what no route hears is refused in the same form', async (t) => {
  const { admin } = await start(t);
  for (const [method, path] of [
    ['GET', '/v1/app'],
    ['POST', '/v1/apps/shop'],
    ['PROPFIND', '/v1/apps'],
    ['GET', '/%zz'],
    ['GET', `/v1/apps/${'x'.repeat(5_000)}`],
  ] as const) {
    const { status, headers, body } = await callApi(admin, method, path, { token: 'read' });
    t.match(headers['content-type'], /^application\/problem\+json/, path.slice(0, 20));
    t.match(body, { status, code: /^(not_found|bad_request)$/, remedy: String });
  }
  const port = Number(new URL(admin).port);
  for (const request of [
    'GET /v1/apps HTTP/1.1\r\nauthorization: Bearer read\r\n\r\n',
    'NONSENSE /v1/apps HTTP/1.1\r\nhost: a\r\n\r\n',
    'GET /v1/apps HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n',
    `GET /v1/apps HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`,
    'PUT /v1/apps/shop HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
  ]) {
    const answer = await sendRaw(port, request);
    t.match(
      answer,
      /^HTTP\/1\.1 4\d\d [\s\S]*application\/problem\+json[\s\S]*"code":"bad_request"/i,
      request.slice(0, 40),
    );
  }
});

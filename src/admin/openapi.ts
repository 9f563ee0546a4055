import { type ApiErrorCode, apiErrorTable } from './api-error.js';
import type { JsonSchema, Route } from './route.js';
import { components } from './schemas.js';

/** Refusals that any route may give, those that need a token, and those that take a body. */
const anyErrors: readonly ApiErrorCode[] = ['bad_request', 'internal', 'cmdb_unavailable'];
const guardedErrors: readonly ApiErrorCode[] = ['unauthorized', 'forbidden'];
const bodyErrors: readonly ApiErrorCode[] = ['payload_too_large', 'unsupported_media_type'];

/** What each parameter of a path is. */
const pathParameters: Readonly<Record<string, string>> = {
  name: 'Name of the app.',
  domain: 'A host name, or a wildcard of one label; percent-encoded.',
};

const etags = 'ETags, as in RFC 9110.';
const headerParameters: Readonly<Record<NonNullable<Route['headers']>[number], string>> = {
  'If-Match': etags,
  'If-None-Match': etags,
  'Last-Event-ID': 'The id of the event that was read last; more than `after`.',
};

/** The route that tells of all others, and of itself. */
export function openApiRoute(others: readonly Route[], version: string): Route {
  const route: Route = {
    method: 'GET',
    path: '/openapi.json',
    scope: 'read',
    summary: 'This document.',
    answers: { 200: { description: 'OpenAPI 3.1.', schema: { type: 'object' } } },
    errors: [],
    handle: () => ({ body: document }),
  };
  const document = openApiOf([...others, route], version);
  return route;
}

/** The document of these routes. Source: OpenAPI 3.1. */
function openApiOf(routes: readonly Route[], version: string): JsonSchema {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route);
  return {
    openapi: '3.1.0',
    info: {
      title: 'fastcontainer',
      version,
      description: 'The admin side of a fastcontainer daemon; docs/api.md tells how it is meant.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'The daemon, on its socket or address.' }],
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description: 'One of admin.tokens. On the socket it may be left out.',
        },
      },
    },
  };
}

function operationOf(route: Route): JsonSchema {
  const { summary, scope, body, answers, isWide } = route;
  const withBody = body && {
    requestBody: {
      required: true,
      description: `${body.description} At most ${body.mostBytes} bytes.`,
      content: Object.fromEntries(body.types.map((type) => [type, { schema: body.schema }])),
    },
    'x-most-bytes': body.mostBytes,
  };
  const told = Object.entries(answers).map(([status, { description, schema, type }]) => [
    status,
    {
      description,
      ...((schema || type) && {
        content: {
          ...(schema && { 'application/json': { schema } }),
          ...(type !== undefined && { [type]: { schema: { type: 'string' } } }),
        },
      }),
    },
  ]);
  return {
    operationId: operationIdOf(route),
    summary,
    ...(isWide && { description: 'It tells of all apps: not for tokens with labels.' }),
    parameters: parametersOf(route),
    ...withBody,
    responses: { ...refusalsOf(route), ...Object.fromEntries(told) },
    security: scope === 'none' ? [] : [{ token: [] }],
    'x-scope': scope,
  };
}

/** Such as `putAppsNameDomainsDomain`. */
function operationIdOf({ method, path }: Route): string {
  const words = path.match(/[a-z]+/gi)!.filter((word) => word !== 'v');
  return method.toLowerCase() + words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('');
}

function parametersOf({ path, query = {}, headers = [] }: Route): readonly JsonSchema[] {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  return [
    ...names.map((name) => ({
      ...{ name, in: 'path', required: true, description: pathParameters[name] ?? '' },
      schema: { type: 'string' },
    })),
    ...Object.entries(query).map(([name, { description, ...schema }]) => ({ name, in: 'query', description, schema })),
    ...headers.map((name) => ({
      ...{ name, in: 'header', description: headerParameters[name] },
      schema: { type: 'string' },
    })),
  ];
}

function refusalsOf({ errors, scope, body }: Route): JsonSchema {
  const codes = new Set<ApiErrorCode>([
    ...anyErrors,
    ...(scope === 'none' ? [] : guardedErrors),
    ...(body ? bodyErrors : []),
    ...errors,
  ]);
  const byStatus = new Map<number, ApiErrorCode[]>();
  for (const code of codes) {
    const { status } = apiErrorTable[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, some]) => [
      status,
      {
        description: some.map((code) => `\`${code}\`: ${apiErrorTable[code].title}.`).join(' '),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
}

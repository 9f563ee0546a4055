import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from './api-error.js';
import { type Caller, mayDo } from './caller.js';
import { sendEvents, type StreamLimits, streamLimits } from './event-stream.js';
import type { ApiRequest, Route } from './route.js';
import { Streams } from './streams.js';

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller;
  }
  interface FastifyContextConfig {
    readonly takesBody?: boolean;
    /** It is for anybody who can connect. */
    readonly isOpen?: boolean;
  }
}

/** Deeper bodies are refused. */
export const deepestBody = 32;

/** Serves these routes, each only to callers that may use it. */
export function addRoutes(server: FastifyInstance, routes: readonly Route[], limits = streamLimits): void {
  const underWay = new Set<AbortController>();
  const streams = new Streams();
  // Otherwise a handler that waits for something would keep the server from closing.
  server.addHook('preClose', async () => underWay.forEach((each) => each.abort()));
  for (const route of routes) {
    const { method, path, query = {}, body } = route;
    server.route({
      method,
      url: path.replaceAll(/\{(\w+)\}/g, ':$1'),
      ...(body && { bodyLimit: body.mostBytes }),
      config: { takesBody: body !== undefined },
      schema: { querystring: { type: 'object', properties: query, additionalProperties: false } },
      // Of a route that takes none, nobody would look at it.
      preHandler: async (request) => {
        if (!body && request.body !== undefined) throw new ApiError('bad_request', 'This route takes no body.');
      },
      // Before the body is read.
      onRequest: async ({ caller, headers }) => {
        admit(caller, route);
        checkType(headers['content-type'], route);
      },
      handler: (request, reply) => answer(request, reply, route, { underWay, streams, limits }),
    });
  }
}

function admit(caller: Caller, { scope, isWide }: Route): void {
  if (scope === 'none') return;
  if (!mayDo(caller, scope))
    throw new ApiError('forbidden', `This needs the scope ${scope}; the token ${caller.name} has ${caller.scope}.`);
  if (isWide && caller.labels)
    throw new ApiError('forbidden', 'This tells of all apps, and the token is for those with its labels only.');
}

function checkType(given: string | undefined, { body }: Route): void {
  const type = given?.split(';')[0]?.trim().toLowerCase();
  if (!body || (type !== undefined && body.types.includes(type))) return;
  throw new ApiError('unsupported_media_type', `Send the body as ${body.types.join(' or ')}.`);
}

/** What the routes of a server share. */
interface Serving {
  /** What aborts the calls under way. */
  readonly underWay: Set<AbortController>;
  readonly streams: Streams;
  readonly limits: StreamLimits;
}

async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  { handle }: Route,
  { underWay, streams, limits }: Serving,
): Promise<FastifyReply> {
  const { caller, params, query, headers, body } = request as FastifyRequest & Omit<ApiRequest, 'signal'>;
  const gone = new AbortController();
  underWay.add(gone);
  reply.raw.once('close', () => {
    underWay.delete(gone);
    gone.abort();
  });
  const given = await handle({ caller, params, query, headers, body, signal: gone.signal });
  if (given.messages) {
    if (request.method === 'HEAD') return reply.type('text/event-stream').send();
    const leave = streams.enter(caller);
    reply.hijack();
    await sendEvents(reply.raw, given.messages, { signal: gone.signal, limits }).finally(leave);
    return reply;
  }
  reply.code(given.status ?? 200).headers(given.headers ?? {});
  if (given.type !== undefined) return reply.type(given.type).send(given.body);
  return given.body === undefined ? reply.send() : reply.type('application/json').send(JSON.stringify(given.body));
}

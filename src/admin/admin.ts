import { timingSafeEqual } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { RequestError } from '../model/errors.js';
import { type AdminSource, registerApps } from './apps.js';
import { adminLimits, createBoundedServer, type ServerLimits } from './bounded-server.js';
import { problem } from './problem.js';
import { makeRoomForSocket } from './socket-file.js';

export interface Readiness {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, { readonly ok: boolean; readonly detail?: string }>>;
}

export interface AdminOptions extends AdminSource {
  readonly listen: { readonly host?: string; readonly port: number } | { readonly path: string };
  /** Bearer token; without one every client that reaches the address is answered. */
  readonly token?: string;
  readonly version: string;
  /** The answer of `/metrics`. */
  readonly exposition: { readonly contentType: string; metrics(): Promise<string> };
  readonly logger: Logger;
  readonly readiness: () => Readiness;
  /** Limits of what clients can hold; tests lower them. */
  readonly limits?: ServerLimits;
}

export interface Admin {
  /** Resolves to the bound address. Throws an Error that says what to do. */
  listen(): Promise<string>;
  close(): Promise<void>;
}

/** Host names under which a browser on this machine reaches loopback; any other name is DNS rebinding. */
const loopbackNames = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** The server for operators: health, metrics, apps and instances. */
export function createAdmin(options: AdminOptions): Admin {
  const server = fastify({
    logger: false,
    serverFactory: (handle) => createBoundedServer(handle, options.limits ?? adminLimits),
    forceCloseConnections: 'idle',
    bodyLimit: 1024 * 1024,
    // A misspelt query parameter is an error; it must not be dropped.
    ajv: { customOptions: { removeAdditional: false } },
  });
  server.addHook('onRequest', async (request, reply) => guard(request, reply, options));
  server.setNotFoundHandler((_request, reply) => problem(reply, 404, 'not_found', 'There is no such resource.'));
  server.setErrorHandler((error, request, reply) => onError(error, request, reply, options.logger));
  registerHealth(server, options);
  registerApps(server, options);
  return {
    listen: () => listen(server, options.listen),
    close: () => server.close(),
  };
}

function registerHealth(server: FastifyInstance, { version, exposition, readiness }: AdminOptions): void {
  server.get('/healthz', async () => ({ status: 'ok', version }));
  server.get('/readyz', async (_request, reply) => {
    const { ready, checks } = readiness();
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready', checks });
  });
  server.get('/metrics', async (_request, reply) =>
    reply.type(exposition.contentType).send(await exposition.metrics()),
  );
}

async function guard(request: FastifyRequest, reply: FastifyReply, { listen: at, token }: AdminOptions): Promise<void> {
  if (request.url === '/healthz') return;
  if (token !== undefined) {
    if (isToken(request.headers.authorization, token)) return;
    reply.header('WWW-Authenticate', 'Bearer');
    return void problem(reply, 401, 'unauthorized', 'Send the admin token as Authorization: Bearer.');
  }
  if (!('path' in at) && !loopbackNames.test(request.headers.host ?? '')) {
    return void problem(reply, 403, 'forbidden', 'Without a token the admin side answers only to loopback names.');
  }
}

function isToken(header: string | undefined, token: string): boolean {
  const given = Buffer.from(header ?? '');
  const expected = Buffer.from(`Bearer ${token}`);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function onError(error: unknown, request: FastifyRequest, reply: FastifyReply, logger: Logger): FastifyReply {
  if (error instanceof RequestError) return problem(reply, error.status, error.code, error.message);
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  if (status >= 400 && status < 500) {
    return problem(reply, status, 'bad_request', error instanceof Error ? error.message : '');
  }
  logger.error({ err: error, url: request.url }, 'an admin request failed');
  return problem(reply, 500, 'internal', 'The request failed; the log says why.');
}

async function listen(server: FastifyInstance, at: AdminOptions['listen']): Promise<string> {
  try {
    if ('path' in at) {
      await makeRoomForSocket(at.path);
      await server.listen({ path: at.path });
      await chmod(at.path, 0o600);
      return `unix:${at.path}`;
    }
    await server.listen({ port: at.port, host: at.host ?? '::' });
  } catch (error) {
    const where = 'path' in at ? at.path : `${at.host ?? ''}:${at.port}`;
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`the admin side cannot listen on ${where}: ${why}; change admin.listen`, { cause: error });
  }
  const [bound] = server.addresses();
  if (!bound || typeof bound === 'string') throw new Error('the admin side has no address');
  return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
}

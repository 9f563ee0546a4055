import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { fastify } from '../libraries/fastify.js';
import { isLoopback, type ListenAddress, type ListenSocket } from '../config/listen-address.js';
import { RequestError } from '../model/errors.js';
import { longestHost } from '../model/host-name.js';
import { ApiError, type ApiErrorCode } from './api-error.js';
import { appRoutes, type AppsSource } from './app-routes.js';
import type { AuditEntry } from './audit.js';
import { adminLimits, createBoundedServer, type ServerLimits } from './bounded-server.js';
import { callerRoute } from './caller-route.js';
import { callerOf, type Credentials } from './credentials.js';
import { eventRoutes, type EventsSource } from './event-routes.js';
import type { StreamLimits } from './event-stream.js';
import { healthRoutes, type HealthSource } from './health-routes.js';
import { maintenanceRoutes } from './maintenance-routes.js';
import { nodeRoutes, type NodesSource } from './node-routes.js';
import { operationRoutes, type OperationsSource } from './operation-routes.js';
import { servePage } from './page-files.js';
import { problem, refuseRaw } from './problem.js';
import { openApiRoute } from './openapi.js';
import { addRoutes, deepestBody } from './serve-routes.js';
import { whyRoutes, type WhySource } from './why-routes.js';
import { faultOfJson } from './json-text.js';
import { usageRoutes, type UsageSource } from './usage-routes.js';
import { placeSocket, removeSocket, type SocketAccess, type SocketFile } from './socket-file.js';

export interface AdminOptions
  extends
    HealthSource,
    Omit<AppsSource & OperationsSource & NodesSource & EventsSource & WhySource & UsageSource, 'audit'>,
    Pick<Credentials, 'token'> {
  readonly listen: ListenAddress | ListenSocket;
  /** Who may open the socket; absent: the user of this process. */
  readonly socket?: SocketAccess;
  /** As of now: they may change while it listens. */
  readonly tokens: () => Credentials['tokens'];
  readonly logger: Logger;
  /** Limits of what clients can hold; tests lower them. */
  readonly limits?: ServerLimits;
  readonly streamLimits?: StreamLimits;
}

export interface Admin {
  /** Resolves to the bound address. Throws an Error that says what to do. */
  listen(): Promise<string>;
  close(): Promise<void>;
}

const longestParameter = 3 * longestHost;

/** Bodies of routes that take none. */
const mostBytes = 1024;

/** The server for operators: health, metrics, apps and instances. */
export function createAdmin(options: AdminOptions): Admin {
  const { logger, token, tokens, listen: at } = options;
  const server = fastify({
    logger: false,
    serverFactory: (handle) => createBoundedServer(handle, options.limits ?? adminLimits),
    forceCloseConnections: 'idle',
    // A domain of four-byte characters, each of which is twelve in the address.
    routerOptions: { maxParamLength: longestParameter },
    frameworkErrors: (error, _request, reply) =>
      problem(reply, new ApiError('bad_request', `The address cannot be read: ${error.code}.`)),
    clientErrorHandler: (error, socket) => refuseRaw(error, socket),
    bodyLimit: mostBytes,
    // A misspelt query parameter is an error; it must not be dropped.
    ajv: { customOptions: { removeAdditional: false } },
  });
  const isSocket = 'path' in at;
  const open = { isSocket, isLoopback: !isSocket && isLoopback(at), ...(token !== undefined && { token }) };
  server.addHook('onRequest', async (request) => {
    if (request.headers.host === undefined && request.raw.httpVersion !== '1.0')
      throw new ApiError('bad_request', 'The request has no Host header.');
    if (request.routeOptions.config.isOpen === true) return;
    request.caller = callerOf(request.headers, request.url, { ...open, tokens: tokens() });
  });
  server.setNotFoundHandler((_request, reply) => problem(reply, new ApiError('not_found', 'There is no such route.')));
  server.setErrorHandler((error, request, reply) => problem(reply, refusalOf(error, request, logger)));
  readBodies(server);
  const audit = ({ by, action, app, changes }: AuditEntry) =>
    logger.info({ audit: { by, action }, app, changes }, `audit: ${by} did ${action} app ${app}`);
  const routes = [
    ...healthRoutes(options),
    ...appRoutes({ ...options, audit }),
    ...operationRoutes({ ...options, audit }),
    ...maintenanceRoutes({ ...options, audit }),
    ...nodeRoutes(options),
    ...eventRoutes(options),
    ...whyRoutes(options),
    callerRoute,
    ...usageRoutes(options),
  ];
  servePage(server);
  addRoutes(server, [...routes, openApiRoute(routes, options.version)], options.streamLimits);
  let file: SocketFile | undefined;
  return {
    async listen() {
      try {
        if (!('path' in at)) return await listenOn(server, at);
        file = await placeSocket(at.path, options.socket ?? { mode: '0600' }, (path) => server.listen({ path }));
        return `unix:${at.path}`;
      } catch (error) {
        const where = 'path' in at ? at.path : `${at.host ?? ''}:${at.port}`;
        const why = error instanceof Error ? error.message : String(error);
        const key =
          'path' in at && options.socket?.group !== undefined ? 'admin.listen or admin.socket' : 'admin.listen';
        throw new Error(`the admin side cannot listen on ${where}: ${why}; change ${key}`, { cause: error });
      }
    },
    async close() {
      if (file) await removeSocket(file);
      await server.close();
    },
  };
}

/** JSON only, and none so deep that reading it could fail. */
function readBodies(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  const parse = server.getDefaultJsonParser('error', 'error');
  const types = ['application/json', 'application/merge-patch+json'];
  server.addContentTypeParser(types, { parseAs: 'string' }, (request, body: string, done) => {
    const fault = faultOfJson(deepestBody, body);
    if (fault?.kind === 'deep') done(new ApiError('bad_request', `The body nests more than ${deepestBody} levels.`));
    else if (fault)
      done(new ApiError('bad_request', `The body has the key ${JSON.stringify(fault.key.slice(0, 100))} twice.`));
    // Some clients send the type with every request.
    else if (body === '' && request.routeOptions.config.takesBody !== true) done(null, undefined);
    else void parse(request, body, done);
  });
}

/** By Fastify's status of what it refuses itself. */
const codes: Readonly<Record<number, ApiErrorCode>> = { 413: 'payload_too_large', 415: 'unsupported_media_type' };

function refusalOf(error: unknown, request: FastifyRequest, logger: Logger): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof RequestError && error.code === 'cmdb_unavailable') {
    const headers = { 'retry-after': String(error.retryAfterS ?? 1) };
    return new ApiError('cmdb_unavailable', 'The store cannot be reached; /readyz and the log say why.', { headers });
  }
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  if (status >= 400 && status < 500) {
    return new ApiError(codes[status] ?? 'bad_request', error instanceof Error ? error.message.slice(0, 500) : '');
  }
  logger.error({ err: error, url: request.url.slice(0, 500) }, 'an admin request failed');
  return new ApiError('internal', 'The request failed.');
}

async function listenOn(server: FastifyInstance, { host = '::', port }: ListenAddress): Promise<string> {
  await server.listen({ port, host });
  const [bound] = server.addresses();
  if (!bound || typeof bound === 'string') throw new Error('the admin side has no address');
  return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
}

import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { Agent, type Dispatcher, request as send } from '../../libraries/undici.js';
import type { Clock } from '../../model/clock.js';
import { refused, tooLate, unreachable } from './engine-error.js';
import { messageOf, oneLine } from '../output/printable.js';
import { textAt } from './reply.js';

/** Address of Docker Engine: a unix socket, or host and port with or without TLS. */
export interface EngineAddress {
  /** /var/run/docker.sock by default; ignored if `host` is given. */
  readonly socketPath?: string;
  readonly host?: string;
  /** 2376 by default with TLS, else 2375. */
  readonly port?: number;
  /** Paths of PEM files. If present, TLS is used and the engine's certificate verified against `ca`, else the system's authorities. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** A request of the Docker Engine API; must use nothing newer than API 1.41. */
export interface EngineRequest {
  /** GET by default. */
  readonly method?: 'GET' | 'POST' | 'DELETE';
  /** Segments of the path, not encoded. */
  readonly path: readonly string[];
  /** Objects, such as the engine's filters, are sent as JSON. */
  readonly query?: Readonly<Record<string, string | number | boolean | object>>;
  /** Sent as JSON. */
  readonly body?: object;
}

export interface CallOptions {
  /** Aborts the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** 5 s by default: an engine that takes longer for a call that needs no work is dead. */
  readonly limitMs?: number;
  /** Limit of the reply; 16 MiB by default. */
  readonly maxBytes?: number;
}

/**
 * A client of the engine, with a time limit for every call and a limit for every reply. A failed call throws an EngineError, whose
 * message has `doing` after "cannot".
 */
export interface Engine {
  /** The socket's path or the engine's URL, for messages. */
  readonly where: string;
  /** Undefined if the reply is empty. */
  json(doing: string, request: EngineRequest, options?: CallOptions): Promise<unknown>;
  bytes(doing: string, request: EngineRequest, options?: CallOptions): Promise<Buffer>;
  /** The time limit ends with the reply's header: the caller bounds what it reads, and destroys the stream. */
  stream(doing: string, request: EngineRequest, options?: CallOptions): Promise<Readable>;
}

const defaultMaxBytes = 16 * 1024 * 1024;
const maxErrorBytes = 64 * 1024;

/** A client of the engine, which connects anew for each call. Throws if a TLS file cannot be read. */
export function connectEngine(address: EngineAddress, clock: Clock): Engine {
  const { host, tls, socketPath = '/var/run/docker.sock' } = address;
  const port = address.port ?? (tls ? 2376 : 2375);
  const name = host?.includes(':') ? `[${host}]` : host;
  const where = name === undefined ? socketPath : `${tls ? 'https' : 'tcp'}://${name}:${port}`;
  const client: Client = {
    where,
    clock,
    // The Host header that Docker's own client sends over a socket.
    origin: name === undefined ? 'http://docker' : `${tls ? 'https' : 'http'}://${name}:${port}`,
    agent: new Agent({
      // A timer bounds calls; a stream of events may be silent for days.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: {
        // Without this a silent stream over TCP would not notice that the engine's machine is gone.
        ...{ keepAlive: true, keepAliveInitialDelay: 15_000 },
        ...(name === undefined ? { socketPath } : readTls(tls)),
      },
    }),
  };
  return {
    where,
    json: (doing, request, options) => call(client, { doing, request, read: readJson, ...options }),
    bytes: (doing, request, options) => call(client, { doing, request, read: readBytes, ...options }),
    stream: (doing, request, options) => call(client, { doing, request, read: async (body) => body, ...options }),
  };
}

interface Client {
  readonly where: string;
  readonly origin: string;
  readonly agent: Agent;
  readonly clock: Clock;
}

interface Call<T> extends CallOptions {
  readonly doing: string;
  readonly request: EngineRequest;
  readonly read: (body: Readable, maxBytes: number) => Promise<T>;
}

async function call<T>(client: Client, options: Call<T>): Promise<T> {
  const { doing, request, read, signal, limitMs = 5_000, maxBytes = defaultMaxBytes } = options;
  const { where, clock } = client;
  signal?.throwIfAborted();
  const limit = new AbortController();
  const giveUp = () => limit.abort();
  const timer = clock.after(limitMs, giveUp);
  signal?.addEventListener('abort', giveUp);
  try {
    const { statusCode, body } = await send(urlOf(client.origin, request), {
      ...bodyOf(request),
      method: request.method ?? 'GET',
      dispatcher: client.agent,
      // No keep-alive: a call could fail on a pooled connection that the engine is closing.
      reset: true,
      signal: limit.signal,
    });
    // 304 means that it was started or stopped already.
    if (isGood(statusCode)) return await read(body, maxBytes);
    throw refused(doing, where, statusCode, await reasonIn(body));
  } catch (error) {
    signal?.throwIfAborted();
    throw limit.signal.aborted ? tooLate(doing, where, limitMs) : unreachable(error, doing, where);
  } finally {
    timer.cancel();
    signal?.removeEventListener('abort', giveUp);
  }
}

function isGood(status: number): boolean {
  return (status >= 200 && status < 300) || status === 304;
}

/** The URL without an API version, so that each engine uses its newest: no version works with all of 20.10 to 29. */
function urlOf(origin: string, { path, query = {} }: EngineRequest): string {
  const url = new URL(`/${path.map((segment) => encodeURIComponent(segment)).join('/')}`, origin);
  for (const [name, value] of Object.entries(query)) {
    url.searchParams.set(name, typeof value === 'object' ? JSON.stringify(value) : String(value));
  }
  return url.href;
}

function bodyOf({ body }: EngineRequest): Pick<Dispatcher.RequestOptions, 'body' | 'headers'> {
  return body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
}

async function readJson(body: Readable, maxBytes: number): Promise<unknown> {
  const text = (await readBytes(body, maxBytes)).toString('utf8');
  return text.trim() === '' ? undefined : (JSON.parse(text) as unknown);
}

async function readBytes(body: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw new Error(`its reply is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The engine's error message, as much of it as can be shown. */
async function reasonIn(body: Readable): Promise<string> {
  const text = await readBytes(body, maxErrorBytes).then(String, () => '');
  try {
    return oneLine(textAt(JSON.parse(text), 'message') ?? text);
  } catch {
    return oneLine(text);
  }
}

function readTls(tls: EngineAddress['tls']) {
  if (tls === undefined) return {};
  const [ca, cert, key] = [readPem('ca', tls.ca), readPem('cert', tls.cert), readPem('key', tls.key)];
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

function readPem(name: 'ca' | 'cert' | 'key', path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    const problem = messageOf(error);
    throw new Error(`runtimes.docker.${name}File: cannot read ${path}: ${problem}`, { cause: error });
  }
}

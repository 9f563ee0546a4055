import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { Agent, type Dispatcher, request as send } from 'undici';
import type { Clock } from '../../model/clock.js';
import { refused, tooLate, unreachable } from './engine-error.js';
import { messageOf, oneLine, textAt } from './reply.js';

/** Where Docker Engine listens: a unix socket, or host and port with or without TLS. */
export interface EngineAddress {
  /** Default /var/run/docker.sock; ignored where `host` is given. */
  readonly socketPath?: string;
  readonly host?: string;
  /** Default 2376 with TLS, else 2375. */
  readonly port?: number;
  /** Paths of PEM files. Present: TLS, the engine's certificate is verified (against `ca`, else the system's). */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** A request of the Docker Engine API, with nothing in it that is newer than API 1.41. */
export interface EngineRequest {
  /** Default GET. */
  readonly method?: 'GET' | 'POST' | 'DELETE';
  /** Segments of the path, encoded here. */
  readonly path: readonly string[];
  /** An object becomes JSON, as the engine's filters are written. */
  readonly query?: Readonly<Record<string, string | number | boolean | object>>;
  /** Sent as JSON. */
  readonly body?: object;
}

export interface CallOptions {
  /** Gives up early; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Default 5 s: an engine that takes longer for what needs no work is dead. */
  readonly limitMs?: number;
  /** Of the reply; default 16 MiB. */
  readonly maxBytes?: number;
}

/**
 * A client of the engine, in which every call has a limit of time and its reply a limit of bytes. `doing` completes
 * "cannot …" in the message of the EngineError that a failed call throws.
 */
export interface Engine {
  /** The socket's path or the engine's URL, for messages. */
  readonly where: string;
  /** Undefined where the engine has nothing to say. */
  json(doing: string, request: EngineRequest, options?: CallOptions): Promise<unknown>;
  bytes(doing: string, request: EngineRequest, options?: CallOptions): Promise<Buffer>;
  /** The limits are for its beginning: the caller bounds what it reads of it and destroys it. */
  stream(doing: string, request: EngineRequest, options?: CallOptions): Promise<Readable>;
}

const defaultMaxBytes = 16 * 1024 * 1024;
const maxErrorBytes = 64 * 1024;

/** A client of the engine. Connects with each call. Throws where a TLS file cannot be read. */
export function connectEngine(address: EngineAddress, clock: Clock): Engine {
  const { host, tls, socketPath = '/var/run/docker.sock' } = address;
  const port = address.port ?? (tls ? 2376 : 2375);
  const name = host?.includes(':') ? `[${host}]` : host;
  const where = name === undefined ? socketPath : `${tls ? 'https' : 'tcp'}://${name}:${port}`;
  const client: Client = {
    where,
    clock,
    // The host is a name for the engine to see, as Docker's own client sends it.
    origin: name === undefined ? 'http://docker' : `${tls ? 'https' : 'http'}://${name}:${port}`,
    agent: new Agent({
      // Calls are bounded by the clock below; a stream of events may be silent for days.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: {
        // Over TCP an engine's machine that vanished would otherwise go unnoticed by a silent stream.
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
      // Without keep-alive: a pooled connection that the engine closes meanwhile would fail a call for nothing.
      reset: true,
      signal: limit.signal,
    });
    // 304: it was started or stopped already.
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

/** Without a version, which each engine answers in its own: there is none that all of 20.10 to 29 take. */
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

/** The engine's own words of a refusal, of which no more is read than can be shown. */
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

import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import Docker from 'dockerode';
import type { Clock } from '../../model/clock.js';
import { asEngineError, tooLate } from './engine-error.js';
import { oneLine } from './reply.js';

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

/** What dockerode's types leave out of some calls that heed it. */
export interface Inspectable {
  inspect(options: { readonly abortSignal: AbortSignal }): Promise<unknown>;
}

interface CallOptions {
  /** Gives up early; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Default 5 s: an engine that takes longer for what needs no work is dead. */
  readonly limitMs?: number;
}

export interface Engine {
  readonly docker: Docker;
  /** The socket's path or the engine's URL, for messages. */
  readonly where: string;
  /**
   * Runs one call with a time limit. `doing` completes "cannot …" in the message of the EngineError it throws.
   * Pass the signal that `run` gets to dockerode.
   */
  call<T>(doing: string, run: (abortSignal: AbortSignal) => Promise<T>, options?: CallOptions): Promise<T>;
}

/** A client of the engine. Connects with the first call. Throws where a TLS file cannot be read. */
export function connectEngine(address: EngineAddress, clock: Clock): Engine {
  const { host, tls, socketPath = '/var/run/docker.sock' } = address;
  const protocol = tls ? 'https' : 'http';
  const port = address.port ?? (tls ? 2376 : 2375);
  const where = host === undefined ? socketPath : `${tls ? 'https' : 'tcp'}://${host}:${port}`;
  // Every field is given: dockerode fills those left out from DOCKER_HOST and its kin, which are not this product's.
  const docker = new Docker({
    protocol: host === undefined ? 'http' : protocol,
    host,
    port: host === undefined ? undefined : port,
    socketPath: host === undefined ? socketPath : undefined,
    ca: readPem('ca', tls?.ca),
    cert: readPem('cert', tls?.cert),
    key: readPem('key', tls?.key),
    timeout: undefined,
    // Without keep-alive: a pooled connection that the engine closes meanwhile would fail a call for nothing.
    ...{ agent: host !== undefined && tls ? new https.Agent() : new http.Agent() },
  });
  return { docker, where, call: (doing, run, options) => call(doing, where, clock, run, options) };
}

async function call<T>(
  doing: string,
  where: string,
  clock: Clock,
  run: (abortSignal: AbortSignal) => Promise<T>,
  { signal, limitMs = 5_000 }: CallOptions = {},
): Promise<T> {
  signal?.throwIfAborted();
  const limit = new AbortController();
  const giveUp = () => limit.abort();
  const timer = clock.after(limitMs, giveUp);
  signal?.addEventListener('abort', giveUp);
  try {
    return await Promise.race([run(limit.signal), aborted(limit.signal)]);
  } catch (error) {
    signal?.throwIfAborted();
    throw limit.signal.aborted ? tooLate(doing, where, limitMs) : asEngineError(error, doing, where);
  } finally {
    timer.cancel();
    signal?.removeEventListener('abort', giveUp);
  }
}

/** Not every call of dockerode heeds its signal. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
}

function readPem(name: 'ca' | 'cert' | 'key', path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    const problem = oneLine(error instanceof Error ? error.message : String(error));
    throw new Error(`runtimes.docker.${name}File: cannot read ${path}: ${problem}`, { cause: error });
  }
}

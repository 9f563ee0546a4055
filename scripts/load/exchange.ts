import { type Agent, type IncomingMessage, request } from 'node:http';
import { expectFrom, Refused } from './failure.js';
import { noteConnection, type Trace } from './trace.js';

export interface Exchanged {
  readonly status: number;
  readonly body: Buffer;
  readonly cold: boolean;
  /** From the start to the first byte of the answer. */
  readonly ms: number;
  readonly fastcontainerError: string | undefined;
  readonly retryAfter: string | undefined;
}

export interface ExchangeOptions {
  readonly port: number;
  readonly app: string;
  readonly path: string;
  readonly trace: Trace;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  /** Undefined: no body. */
  readonly body?: Buffer;
  readonly agent?: Agent;
  readonly onChunk?: (chunk: Buffer) => void;
}

/** A client gives up on an exchange that takes this long: a hang is a failure, not a wait. */
const limitMs = 600_000;

/**
 * One request to an app, its answer read to the end. Rejects where the connection ends before the answer does, and with
 * Refused or WrongAnswer unless the app itself answered 200.
 */
export function exchange(options: ExchangeOptions): Promise<Exchanged> {
  const { port, app, path, trace, method = 'GET', headers, body, agent, onChunk } = options;
  const from = performance.now();
  Object.assign(trace, { app, port, replayable: method === 'GET' && body === undefined });
  return new Promise((resolve, reject) => {
    const req = request({
      ...{ host: '127.0.0.1', port, path, method },
      headers: { host: hostOf(app), 'x-trace': trace.id, ...headers },
      agent: agent ?? false,
      timeout: limitMs,
    });
    noteConnection(trace, req);
    req.on('timeout', () => req.destroy(new Error(`no answer within ${limitMs} ms`)));
    req.on('error', reject);
    req.on('response', (res: IncomingMessage) => {
      const ms = performance.now() - from;
      const fastcontainerError = res.headers['x-fastcontainer-error'] as string | undefined;
      const status = res.statusCode ?? 0;
      trace.answered = fastcontainerError === undefined;
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => {
        if (onChunk) onChunk(chunk);
        else chunks.push(chunk);
      });
      res.on('error', reject);
      res.on('end', () => {
        const retryAfter = res.headers['retry-after'];
        if (status !== 200 || fastcontainerError !== undefined) {
          return reject(new Refused({ status, fastcontainerError, retryAfter }));
        }
        try {
          expectFrom(app, res.headers['x-instance']);
        } catch (error) {
          return reject(error as Error);
        }
        const cold = res.headers['server-timing'] !== undefined;
        resolve({ status, body: Buffer.concat(chunks), cold, ms, fastcontainerError, retryAfter });
      });
    });
    req.end(body);
  });
}

export function hostOf(app: string): string {
  return `${app}.localhost`;
}

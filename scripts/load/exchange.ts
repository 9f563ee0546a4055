import { type Agent, type IncomingMessage, request } from 'node:http';

export interface Exchanged {
  readonly status: number;
  readonly body: Buffer;
  readonly cold: boolean;
  /** From the start to the first byte of the answer. */
  readonly ms: number;
  readonly fastcontainerError: string | undefined;
}

export interface ExchangeOptions {
  readonly port: number;
  readonly app: string;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  /** Undefined: no body. */
  readonly body?: Buffer;
  readonly agent?: Agent;
  readonly onChunk?: (chunk: Buffer) => void;
}

/** A client gives up on an exchange that takes this long: a hang is a failure, not a wait. */
const limitMs = 600_000;

/** One request to an app, its answer read to the end. Rejects where the connection ends before the answer does. */
export function exchange(options: ExchangeOptions): Promise<Exchanged> {
  const { port, app, path, method = 'GET', headers, body, agent, onChunk } = options;
  const from = performance.now();
  return new Promise((resolve, reject) => {
    const req = request({
      ...{ host: '127.0.0.1', port, path, method },
      headers: { host: hostOf(app), ...headers },
      agent: agent ?? false,
      timeout: limitMs,
    });
    req.on('timeout', () => req.destroy(new Error(`no answer within ${limitMs} ms`)));
    req.on('error', reject);
    req.on('response', (res: IncomingMessage) => {
      const ms = performance.now() - from;
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => {
        if (onChunk) onChunk(chunk);
        else chunks.push(chunk);
      });
      res.on('error', reject);
      res.on('end', () =>
        resolve({
          status: res.statusCode ?? 0,
          body: Buffer.concat(chunks),
          cold: res.headers['server-timing'] !== undefined,
          ms,
          fastcontainerError: res.headers['x-fastcontainer-error'] as string | undefined,
        }),
      );
    });
    req.end(body);
  });
}

export function hostOf(app: string): string {
  return `${app}.localhost`;
}

/** Throws unless the app itself answered 200. */
export function expectOk({ status, fastcontainerError }: Exchanged): void {
  if (status !== 200) throw new Error(`status ${status}${fastcontainerError ? ` ${fastcontainerError}` : ''}`);
}

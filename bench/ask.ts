import { request } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** Of the header Server-Timing, in milliseconds by phase; empty where there is none. */
  readonly phases: Readonly<Record<string, number>>;
  /** From before the connection was made to the end of the answer. */
  readonly totalMs: number;
}

/** One GET on a connection of its own. */
export function ask(port: number, host: string, at = '127.0.0.1', path = '/'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const from = performance.now();
    const req = request({ host: at, port, path, headers: { host }, agent: false });
    req.once('error', reject);
    req.once('response', (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.once('error', reject);
      res.once('end', () =>
        resolve({
          status: res.statusCode ?? 0,
          body: Buffer.concat(chunks).toString(),
          phases: serverTiming(String(res.headers['server-timing'] ?? '')),
          totalMs: performance.now() - from,
        }),
      );
    });
    req.end();
  });
}

/** Source: W3C Server Timing. */
export function serverTiming(header: string): Record<string, number> {
  const entries = [...header.matchAll(/([\w-]+);dur=([\d.]+)/g)];
  return Object.fromEntries(entries.map(([, name = '', ms]) => [name, Number(ms)]));
}

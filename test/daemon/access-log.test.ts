import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { parse, stringify } from 'yaml';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { ask } from '../fixtures/request.js';

interface Line {
  readonly [key: string]: unknown;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

t.test('each request has a line with what became of it', async (t) => {
  const installation = await install(t);
  const file = join(installation.dir, 'access.log');
  const main = parse(await readFile(installation.file, 'utf8')) as object;
  await writeFile(installation.file, stringify({ ...main, accessLog: { file } }));
  const { port, daemon } = await startDaemon(t, installation);
  const lines = async (count: number): Promise<Line[]> =>
    until(async () => {
      const text = await readFile(file, 'utf8').catch(() => '');
      const found = text.split('\n').slice(0, -1);
      return found.length >= count ? found.map((line) => JSON.parse(line) as Line) : undefined;
    });

  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  await ask(port, 'hello.localhost', '/?secret=1', { headers: { 'x-request-id': 'mine-1', traceparent } });
  const { headers } = JSON.parse((await ask(port, 'hello.localhost')).body) as { headers: Record<string, string> };
  await ask(port, 'nobody.localhost');
  const [cold, warm, unknown] = await lines(3);
  t.match(cold, {
    ...{ app: 'hello', domain: 'hello.localhost', temperature: 'cold', status: 200, outcome: 'complete' },
    ...{ target: '/?-', client: '127.0.0.1', requestId: 'mine-1', traceparent, phases: { lookup: Number } },
  });
  t.match(warm, { temperature: 'warm', instance: cold?.['instance'], phases: undefined });
  t.equal(headers['x-request-id'], warm?.['requestId'], 'the app gets the id that was made');
  t.ok((cold?.bytesOut ?? 0) > 0 && (cold?.bytesIn ?? 0) > 50);
  t.match(unknown, { app: undefined, status: 404, outcome: 'refused', error: 'unknown_domain' });

  // Two requests on one connection, and one that cannot be read.
  const socket = connect(port, '127.0.0.1');
  let received = 0;
  socket.on('data', (chunk: Buffer) => (received += chunk.length));
  const one = 'GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n';
  socket.write(one);
  await lines(4);
  const last = 'GET / HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n';
  socket.write(last);
  await once(socket, 'close');
  const all = (await lines(5)).slice(3);
  const sum = (key: 'bytesIn' | 'bytesOut') => all.reduce((total, line) => total + line[key], 0);
  t.equal(sum('bytesIn'), one.length + last.length, 'the lines of a connection add up to its bytes');
  t.equal(sum('bytesOut'), received);
  await daemon.close();
  t.equal((await readFile(file, 'utf8')).split('\n').length, 6);
});

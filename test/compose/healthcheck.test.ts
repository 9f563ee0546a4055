import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';

/** An admin side that listens on `where`; resolves to its address. */
async function admin(t: Test, where: { port: number; host: string } | { path: string }, handle: RequestListener) {
  const server = createServer(handle);
  t.teardown(() => server.closeAllConnections());
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  server.listen(where);
  await once(server, 'listening');
  return 'path' in where ? `unix:${where.path}` : `${where.host}:${(server.address() as AddressInfo).port}`;
}

async function healthcheck(env: Record<string, string>): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['docker/healthcheck.js'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

const loopback = { port: 0, host: '127.0.0.1' };

t.test('it is healthy when /readyz says ready, and asks it as loopback does', async (t) => {
  const asked: (string | undefined)[] = [];
  const address = await admin(t, loopback, ({ url, headers }, response) => {
    asked.push(url, headers.host, headers.authorization);
    response.end('{"status":"ready"}');
  });
  t.match(await healthcheck({ FASTCONTAINER_ADMIN: address }), { code: 0, output: /"ready"/ });
  t.same(asked, ['/readyz', 'localhost', undefined]);
});

t.test('it is not when /readyz says so, and tells why', async (t) => {
  const address = await admin(t, loopback, (_, response) => response.writeHead(503).end('the store is away'));
  t.match(await healthcheck({ FASTCONTAINER_ADMIN: address }), { code: 1, output: /the store is away/ });
});

t.test('it is not where nobody answers', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-health-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const nobody = await healthcheck({ FASTCONTAINER_ADMIN: `unix:${dir}/nobody` });
  t.match(nobody, { code: 1, output: /cannot be asked.*ENOENT/ });
  const silent = await admin(t, loopback, () => undefined);
  t.match(await healthcheck({ FASTCONTAINER_ADMIN: silent }), { code: 1, output: /no answer within 4 s/ });
});

t.test('it shows a token, and reaches sockets and wildcard addresses', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-health-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const guarded: RequestListener = ({ headers }, response) =>
    response.writeHead(headers.authorization === 'Bearer s3cret' ? 200 : 401).end();
  for (const where of [{ path: join(dir, 'socket') }, { port: 0, host: '0.0.0.0' }]) {
    const address = await admin(t, where, guarded);
    t.match(await healthcheck({ FASTCONTAINER_ADMIN: address, FASTCONTAINER_ADMIN_TOKEN: 's3cret' }), { code: 0 });
    t.match(await healthcheck({ FASTCONTAINER_ADMIN: address }), { code: 1 });
  }
});

import { Agent } from 'node:http';
import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { metric } from '../fixtures/metric.js';
import { ask, askIdentity } from '../fixtures/request.js';

const hello = 'hello.localhost';

t.test(
  'requests beyond what an operator allows are refused, whatever they are for, and others are served',
  async (t) => {
    const http = { maxUrlSize: '1k', maxHeaderLines: 16 };
    const apps = { hello: { requests: { perClient: '5/d' } }, other: {} };
    const { port, admin, log } = await startDaemon(t, await install(t, { http }, apps));
    const lines = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, 'y']));
    t.equal((await ask(port, 'other.localhost', `/${'a'.repeat(1_023)}`)).status, 200);
    const long = await ask(port, 'other.localhost', `/${'a'.repeat(1_024)}`);
    t.match(long, { status: 414, headers: { 'x-fastcontainer-error': 'uri_too_long' } });
    t.equal((await ask(port, 'other.localhost', '/', { headers: lines(10) })).status, 200);
    const wide = await ask(port, 'other.localhost', '/', { headers: lines(17) });
    t.match(wide, { status: 431, headers: { 'x-fastcontainer-error': 'headers_too_large' } });

    for (let count = 0; count < 5; count += 1) t.equal((await ask(port, hello)).status, 200);
    const refused = await ask(port, hello, '/upload', { method: 'POST', body: 'x'.repeat(100_000) });
    t.match(refused, { status: 429, headers: { 'x-fastcontainer-error': 'too_many_requests' } });
    t.ok(Number(refused.headers['retry-after']) > 10_000);
    t.notMatch(refused.body, /perClient|rate/);
    t.match(
      log.find(({ code }) => code === 'too_many_requests'),
      { app: 'hello', client: '127.0.0.1', cause: 'requests per client' },
    );
    t.equal((await ask(port, hello, '/', { localAddress: '127.0.0.2' })).status, 200, 'another client');
    t.equal((await ask(port, 'other.localhost')).status, 200, 'another app');
    t.equal(await metric(admin, 'fastcontainer_errors_total{app="hello",error="too_many_requests"}'), 1);
  },
);

t.test('an old connection ends with its next answer, which is whole', async (t) => {
  const { port } = await startDaemon(t, await install(t, { http: { maxConnectionAge: '1s' } }));
  await askIdentity(port, hello);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  t.match(await ask(port, hello, '/', { agent }), { status: 200, headers: { connection: 'keep-alive' } });
  await until(async () => {
    const { status, headers, body } = await ask(port, hello, '/', { agent });
    t.equal(status, 200);
    t.ok(JSON.parse(body));
    return headers.connection === 'close';
  });
  t.match(await ask(port, hello, '/', { agent }), { headers: { connection: 'keep-alive' } }, 'a new one');
});

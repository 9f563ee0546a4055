import { connect } from 'node:net';
import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { ask } from '../fixtures/request.js';

t.test(
  'a refusal tells the public a reference, and the log everything, the address of the client included',
  async (t) => {
    const errorHeaders = { 'Access-Control-Allow-Origin': '*' };
    const app = { env: { EXIT_AT_BOOT: 'the password is hunter2' }, errorHeaders };
    const { port, log } = await startDaemon(t, await install(t, {}, { hello: app }));
    const { status, headers, body } = await ask(port, 'hello.localhost');
    t.equal(status, 503);
    t.equal(headers['access-control-allow-origin'], '*');
    t.notMatch(body, /hunter2|exit|Operator|queue\./);
    const reference = /Reference: (\w+)/.exec(body)?.[1];
    const line = log.find(({ msg, reference: logged }) => msg === 'request refused' && logged === reference);
    t.match(line, { code: 'boot_failed', app: 'hello', client: '127.0.0.1', cause: /hunter2|ended/ });
  },
);

t.test('what is no request is logged with the address of its client', async (t) => {
  const { port, log } = await startDaemon(t, await install(t));
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  socket.write('garbage\r\n\r\n');
  await until(() => log.some(({ code, client }) => code === 'bad_request' && client === '127.0.0.1') || undefined);
});

const checksHost = `
  const { createServer } = require('node:http');
  createServer((req, res) => {
    if (!/^[a-z]+[.]wild[.]localhost$/.test(req.headers.host)) res.statusCode = 421;
    res.end(req.headers.host);
  }).listen(Number(process.env.PORT), process.env.HOST);`;

t.test('an app that has only a wildcard and checks its host becomes ready', async (t) => {
  const app = {
    domains: ['*.wild.localhost'],
    command: [process.execPath, '-e', checksHost],
    readiness: { http: '/' },
  };
  const { port } = await startDaemon(t, await install(t, {}, { wild: app }));
  t.match(await ask(port, 'shop.wild.localhost'), { status: 200, body: 'shop.wild.localhost' });
});

t.test('Server-Timing of a cold request can be switched off', async (t) => {
  for (const serverTiming of [true, false]) {
    const { port } = await startDaemon(t, await install(t, { http: { serverTiming } }));
    const { headers } = await ask(port, 'hello.localhost');
    t.equal(headers['server-timing'] !== undefined, serverTiming);
    t.notMatch(headers['server-timing'], /hello/);
  }
});

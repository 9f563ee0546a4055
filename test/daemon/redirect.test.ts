import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { makeCertificate, onePem } from '../fixtures/certificates.js';
import { install, startDaemon } from '../fixtures/daemon.js';
import { sendRaw } from '../fixtures/raw.js';
import { ask, instances } from '../fixtures/request.js';
import { askSecure } from '../fixtures/secure.js';

const redirected = { tls: { redirect: true, hsts: '180d' } };

t.test('an app that redirects is reached over HTTPS only, and is not woken by what is redirected', async (t) => {
  const main = {
    listen: { http: '127.0.0.1:0', https: '127.0.0.1:0' },
    tls: { certificates: './certs/*.pem' },
  };
  const installation = await install(t, main, { hello: redirected, plain: {} });
  await mkdir(join(installation.dir, 'certs'));
  const pair = await makeCertificate(['hello.localhost', 'plain.localhost']);
  await writeFile(join(installation.dir, 'certs', 'all.pem'), onePem(pair));
  const { port, httpsPort, admin } = await startDaemon(t, installation);
  const sameUrl = { status: 308, headers: { location: 'https://hello.localhost/a?b=c' }, body: '' };
  const asks = async (when: string) => {
    t.match(await ask(port, 'hello.localhost', '/a?b=c'), sameUrl, when);
    t.match(
      await ask(port, 'hello.localhost:8080', '/a?b=c', { method: 'POST', body: 'x=1' }),
      sameUrl,
      `${when}, a form`,
    );
    const upgrade = 'GET /ws HTTP/1.1\r\nHost: hello.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
    t.match(
      await sendRaw(port, upgrade),
      /^HTTP\/1\.1 308 .*\r\nLocation: https:\/\/hello\.localhost\/ws\r\n/,
      `${when}, a WebSocket`,
    );
  };
  await asks('asleep');
  t.same(await instances(admin, 'hello'), [], 'nothing has booted');

  const secure = await askSecure(httpsPort, 'hello.localhost');
  t.equal(secure.status, 200);
  t.equal(secure.headers['strict-transport-security'], 'max-age=15552000');
  await asks('awake');
  const challenge = await ask(port, 'hello.localhost', '/.well-known/acme-challenge/token');
  t.not(challenge.status, 308, 'what proves the domain to an authority is answered over plain HTTP');
  t.equal(challenge.headers['strict-transport-security'], undefined, 'never over plain HTTP');

  t.equal((await ask(port, 'plain.localhost')).status, 200);
  t.equal((await askSecure(httpsPort, 'plain.localhost')).headers['strict-transport-security'], undefined);
});

t.test('a body that is still coming does not cost the client its redirect', async (t) => {
  const installation = await install(t, {}, { hello: redirected });
  const { port } = await startDaemon(t, installation);
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  socket.write('POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 1000000\r\n\r\n');
  socket.end(Buffer.alloc(1_000_000));
  await new Promise((resolve) => socket.once('close', resolve));
  t.match(answer, /^HTTP\/1\.1 308 [^]*\r\nConnection: close\r\n/i);
});

t.test('behind a trusted proxy its word counts, and that of nobody else', async (t) => {
  const told = [
    { 'X-Forwarded-Proto': 'https' },
    { 'X-Forwarded-Proto': 'HTTPS, http' },
    { 'X-Forwarded-Proto': 'wss' },
    { Forwarded: 'for=1.2.3.4;proto=https' },
  ];
  const proxied = await startDaemon(t, await install(t, { trustedProxies: ['127.0.0.1'] }, { hello: redirected }));
  for (const headers of told) {
    const answer = await ask(proxied.port, 'hello.localhost', '/', { headers });
    t.equal(answer.status, 200, JSON.stringify(headers));
    t.equal(answer.headers['strict-transport-security'], 'max-age=15552000');
  }
  for (const headers of [{}, { 'X-Forwarded-Proto': 'http, https' }])
    t.equal((await ask(proxied.port, 'hello.localhost', '/', { headers })).status, 308, JSON.stringify(headers));
  const direct = await startDaemon(t, await install(t, {}, { hello: redirected }));
  for (const headers of told) t.equal((await ask(direct.port, 'hello.localhost', '/', { headers })).status, 308);
});

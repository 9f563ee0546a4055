import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import t from 'tap';
import { makeCertificate, onePem } from '../fixtures/certificates.js';
import { install, startDaemon } from '../fixtures/daemon.js';
import { needsHaproxy, startHaproxy } from '../fixtures/haproxy.js';
import { answerTo, ask, type Identity } from '../fixtures/request.js';
import { installWorkers, many, spawnWorkers, terminate } from './workers/spawn-workers.js';

const source = '127.0.0.9';
const proxied = () => ({ address: '127.0.0.1:0', proxyProtocol: true });
const host = 'hello.localhost';
/** What a client says of itself. */
const headers = { 'x-forwarded-for': '192.0.2.66' };

const told = (body: string) => (JSON.parse(body) as Identity).headers;

t.test("apps behind HAProxy are told the client's own address", needsHaproxy, async (t) => {
  const listen = { http: proxied(), https: [proxied()] };
  const installation = await install(t, { listen, trustedProxies: [source], tls: { certificates: './certs/*.pem' } });
  await mkdir(join(installation.dir, 'certs'));
  await writeFile(join(installation.dir, 'certs', 'hello.pem'), onePem(await makeCertificate([host])));
  const { port, httpsPort } = await startDaemon(t, installation);
  const all = ' proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn';
  for (const send of ['send-proxy', 'send-proxy-v2', `send-proxy-v2${all}`]) {
    const plain = await startHaproxy(t, { to: port, send, source });
    t.match(
      told((await ask(plain, host, '/', { localAddress: '127.0.0.7', headers })).body),
      { 'x-forwarded-for': '127.0.0.7', 'x-forwarded-proto': 'http', forwarded: /^for=127\.0\.0\.7;/ },
      send,
    );
    const secure = request({
      ...{ host: '127.0.0.1', port: await startHaproxy(t, { to: httpsPort, send, source }), agent: false },
      ...{ servername: host, rejectUnauthorized: false, localAddress: '127.0.0.8', headers: { host, ...headers } },
    });
    const answer = await answerTo(secure);
    t.match(told(answer.body), { 'x-forwarded-for': '127.0.0.8', 'x-forwarded-proto': 'https' }, `${send}, TLS`);
  }
  t.equal(told((await ask(port, host, '/', { headers })).body)['x-forwarded-for'], '127.0.0.1', 'without the proxy');
});

t.test('workers that share a socket expect the header, too', needsHaproxy, async (t) => {
  const daemon = await spawnWorkers(
    t,
    await installWorkers(t, { listen: { http: proxied() }, trustedProxies: [source] }),
    '--stop-apps',
  );
  const port = await startHaproxy(t, { to: daemon.port, send: 'send-proxy-v2', source });
  const answers = await many(10, () => ask(port, host, '/', { localAddress: '127.0.0.7', headers }));
  t.same([...new Set(answers.map(({ body }) => told(body)['x-forwarded-for']))], ['127.0.0.7']);
  t.equal(await terminate(daemon), 0);
});

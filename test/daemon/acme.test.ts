import t from 'tap';
import { install, startDaemon } from '../fixtures/daemon.js';
import { eventually } from '../fixtures/eventually.js';
import { needsPebble, startPebble } from '../fixtures/pebble.js';
import { portRange } from '../fixtures/port-range.js';
import { ask, instances } from '../fixtures/request.js';
import { askSecure, certificateFor, shake } from '../fixtures/secure.js';
import { fetchAdmin } from '../fixtures/admin.js';

const domain = 'hello.example.org';

t.test(
  'a visit by HTTPS orders the certificate of its domain and wakes the app; nothing else does',
  needsPebble,
  async (t) => {
    const httpPort = portRange(t).from;
    const { directory, caFile } = await startPebble(t, httpPort);
    const main = {
      listen: { http: `127.0.0.1:${httpPort}`, https: '127.0.0.1:0' },
      tls: { acme: { directory, caFile, key: 'x'.repeat(32), email: 'certs@example.org' } },
    };
    const apps = {
      hello: { domains: [domain], tls: { redirect: true } },
      wild: { domains: ['*.wild.example.org'] },
    };
    const { port, httpsPort, admin, log } = await startDaemon(t, await install(t, main, apps));
    t.same(await certificateFor(httpsPort, 'nowhere.example.org'), { error: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' });
    t.same(await certificateFor(httpsPort, 'a.wild.example.org'), { error: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' });
    t.same(await instances(admin, 'hello'), []);
    // A client may be too early for a busy machine.
    const answer = await eventually(() => askSecure(httpsPort, domain));
    t.equal(answer.status, 200);
    const socket = await shake(httpsPort, domain);
    t.match(socket.getPeerCertificate(), { issuer: { CN: /Pebble/ }, subjectaltname: `DNS:${domain}` });
    socket.destroy();
    t.equal(log.filter(({ msg }) => msg === 'a certificate was ordered').length, 1);
    const metrics = await (await fetchAdmin(`${admin}/metrics`)).text();
    t.match(metrics, /^fastcontainer_certificate_orders_total\{result="ordered"\} 1$/m);
    t.equal((await ask(port, domain)).status, 308);
    const unknown = await ask(port, domain, `/.well-known/acme-challenge/${'a'.repeat(43)}`);
    t.match(unknown, { status: 200, body: /"instance"/ }, "a challenge that is not ours is the app's");
  },
);

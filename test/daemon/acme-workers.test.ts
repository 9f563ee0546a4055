import t from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { needsPebble, startPebble } from '../fixtures/pebble.js';
import { portRange } from '../fixtures/port-range.js';
import { askSecure, shake } from '../fixtures/secure.js';
import { installWorkers, spawnWorkers, terminate } from './workers/spawn-workers.js';

const domain = 'hello.example.org';

t.test('workers get the certificate that their supervisor orders, and answer its challenge', needsPebble, async (t) => {
  const ports = portRange(t);
  const { directory, caFile } = await startPebble(t, ports.from);
  const installation = await installWorkers(
    t,
    {
      listen: { http: `127.0.0.1:${ports.from}`, https: `127.0.0.1:${ports.from + 1}` },
      tls: { acme: { directory, caFile, key: 'x'.repeat(32) } },
    },
    { hello: { domains: [domain] } },
  );
  const daemon = await spawnWorkers(t, installation, '--stop-apps');
  for (let times = 0; times < 6; times += 1)
    t.equal((await eventually(() => askSecure(ports.from + 1, domain))).status, 200);
  const socket = await shake(ports.from + 1, domain);
  t.match(socket.getPeerCertificate(), { issuer: { CN: /Pebble/ } });
  socket.destroy();
  t.equal(daemon.log.filter(({ msg }) => msg === 'a certificate was ordered').length, 1);
  t.equal(await terminate(daemon), 0);
});

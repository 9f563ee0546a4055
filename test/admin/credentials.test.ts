import type { IncomingHttpHeaders } from 'node:http';
import t from 'tap';
import { callerOf, hashOf } from '../../src/admin/credentials.js';

const socket = { isSocket: true, isLoopback: false, tokens: [] };

t.test('through a tunnel to the socket, only its own page and programs are heard', async (t) => {
  const own = 'localhost:8081';
  const heard: IncomingHttpHeaders[] = [
    { host: 'localhost' },
    {},
    { host: own, origin: `http://${own}`, 'sec-fetch-site': 'same-origin' },
    // Typed into the address bar.
    { host: own, 'sec-fetch-site': 'none' },
    { host: '[::1]:8081', origin: 'http://[::1]:8081' },
  ];
  for (const headers of heard)
    t.match(callerOf(headers, '/v1/apps', socket), { name: 'socket', scope: 'write' }, JSON.stringify(headers));
  const refused: IncomingHttpHeaders[] = [
    { host: own, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
    { host: own, origin: 'https://evil.example' },
    { host: own, origin: 'null' },
    { host: own, origin: 'http://localhost:3000', 'sec-fetch-site': 'same-site' },
    { host: own, 'sec-fetch-site': 'cross-site' },
    // DNS rebinding: to the browser it is one origin.
    { host: 'evil.example:8081' },
    { host: 'evil.example:8081', origin: 'http://evil.example:8081', 'sec-fetch-site': 'same-origin' },
  ];
  for (const headers of refused)
    t.throws(() => callerOf(headers, '/v1/apps', socket), { code: 'forbidden' }, JSON.stringify(headers));
});

t.test('a page of another site has no token to send', async (t) => {
  const tokens = [{ name: 'ops', scope: 'operate' as const, hash: hashOf('t'), labels: {}, images: [] }];
  const credentials = { isSocket: true, isLoopback: false, token: 'a-long-enough-token', tokens };
  t.throws(() => callerOf({ host: 'localhost' }, '/v1/apps', credentials), { code: 'unauthorized' });
  t.match(callerOf({ authorization: 'Bearer t', host: 'panel.example' }, '/v1/apps', credentials), { name: 'ops' });
});

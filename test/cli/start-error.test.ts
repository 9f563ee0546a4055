import t from 'tap';
import { explainStartError } from '../../src/cli/start-error.js';

const config = {
  listen: { http: [{ port: 80 }], https: [{ port: 443 }] },
  admin: { listen: { host: '127.0.0.1', port: 8081 }, tokens: [], socket: { mode: '0600' } as const },
};
const failure = (code: string, address: string, port?: number) =>
  Object.assign(new Error(code), { code, address, port });

t.test('a failed start says what to do', async (t) => {
  const cases: [Error, string][] = [
    [
      failure('EADDRINUSE', '127.0.0.1', 8081),
      "cannot listen on 127.0.0.1:8081: it is in use; stop what listens there (find it with: ss -ltnp 'sport = :8081') or change admin.listen",
    ],
    [
      failure('EADDRINUSE', '::', 80),
      "cannot listen on [::]:80: it is in use; stop what listens there (find it with: ss -ltnp 'sport = :80') or change listen.http",
    ],
    [
      failure('EACCES', '0.0.0.0', 80),
      'cannot listen on 0.0.0.0:80: not permitted; grant the capability CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE) or change listen.http',
    ],
    [
      failure('EADDRNOTAVAIL', '10.9.9.9', 80),
      'cannot listen on 10.9.9.9:80: this machine has no such address; see `ip address` and change listen.http',
    ],
    [new Error('odd'), 'cannot start: odd'],
  ];
  for (const [error, text] of cases) t.equal(explainStartError(error, config), text);
});

t.test('a UNIX socket is named by its path', async (t) => {
  const admin = { listen: { path: '/run/x.sock' }, tokens: [], socket: { mode: '0600' } as const };
  t.equal(
    explainStartError(failure('EACCES', '/run/x.sock', -1), { ...config, admin }),
    'cannot listen on /run/x.sock: not permitted; make the place writable for this user or change admin.listen',
  );
});

import t from 'tap';
import { checkLimits } from '../../src/cli/host-checks/limits.js';
import { appYaml, loadFiles } from '../config/files.js';

async function warningsOf(main: string, app = ''): Promise<readonly string[]> {
  return checkLimits(
    await loadFiles({ 'main.yaml': `log: { level: info }\n${main}\n`, 'apps/a.yaml': appYaml('a', app) }),
  ).warnings;
}

const local = 'admin: { listen: "127.0.0.1:0", token: 0123456789abcdef }';

t.test('what is safe is not warned of', async (t) => {
  t.strictSame(await warningsOf(''), [], 'the defaults');
  const proxies = 'trustedProxies: [10.0.0.0/8, 192.0.2.7, "fc00::/7", "2001:db8::/32", 172.16.0.0/12]';
  t.strictSame(await warningsOf(`${local}\n${proxies}\nhttp: { maxHeaderSize: 64k, headersTimeout: 10m }`), []);
});

const unsafe: [title: string, main: string, app: string, warning: RegExp][] = [
  ['everybody as a proxy', 'trustedProxies: [0.0.0.0/0]', '', /^trustedProxies: 0\.0\.0\.0\/0 has strangers/],
  ['everybody of IPv6 as a proxy', 'trustedProxies: ["::/0"]', '', /^trustedProxies: ::\/0 has strangers/],
  ['bodies without a rate', 'http: { requestBodyMinRate: 0b }', '', /^http\.requestBodyMinRate: 0b is no bound/],
  ['bodies that may rest', 'http: { requestBodyIdleTimeout: 1h }', '', /^http\.requestBodyIdleTimeout: 1h is how long/],
  ['readers that may rest', 'http: { responseStallTimeout: 11m }', '', /^http\.responseStallTimeout: 11m is how long/],
  ['headers that may take long', 'http: { headersTimeout: 1h }', '', /^http\.headersTimeout: 1h is how long/],
  [
    'one client with half of the connections',
    'http: { maxConnections: 2000 }',
    '',
    /^http\.maxConnectionsPerClient: 1000 lets/,
  ],
  ['headers of a megabyte', 'http: { maxHeaderSize: 1m }', '', /^http\.maxHeaderSize: 1m is what/],
  [
    'a token on the network',
    'admin: { listen: ":9000", token: 0123456789abcdef }',
    '',
    /^admin\.listen: :9000 is neither/,
  ],
  ['a client that may have all', '', 'concurrency: { clientShare: 1 }\n', /^app a: concurrency\.clientShare: 1 lets/],
  ['memory without end', '', 'limits: { memory: unlimited }\n', /^app a: limits\.memory: unlimited lets/],
  ['processes without end', '', 'limits: { pids: unlimited }\n', /^app a: limits\.pids: unlimited lets/],
  ['files without end', '', 'limits: { files: unlimited }\n', /^app a: limits\.files: unlimited lets/],
];

for (const [title, main, app, warning] of unsafe) {
  t.test(`${title} is warned of`, async (t) => {
    const warnings = await warningsOf(main, app);
    t.match(warnings, [warning]);
    t.equal(warnings.length, 1);
  });
}

t.test('an admin side on loopback that asks for no token is warned of, and many apps are named in short', async (t) => {
  const files = Object.fromEntries(
    Array.from({ length: 7 }, (_, index) => [
      `apps/${index}.yaml`,
      `name: app${index}\ndomains: ${index}.localhost\nimage: a\n`,
    ]),
  );
  const main = 'admin: { listen: "127.0.0.1:0" }\ndefaults: { runtime: docker, limits: { memory: unlimited } }\n';
  t.match(checkLimits(await loadFiles({ 'main.yaml': main, ...files })).warnings, [
    /^admin\.listen: 127\.0\.0\.1:0 without a token answers every user/,
    /^apps app0, app1, app2, app3, app4 and 2 more: limits\.memory/,
  ]);
});

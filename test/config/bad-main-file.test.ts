import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.js';
import { ConfigError, formatProblem } from '../../src/config/problem.js';
import { appYaml, mainYaml, makeFiles, problemsOf } from './files.js';

const cases: [title: string, content: string, problems: string[]][] = [
  ['is empty', '', ['1: is empty; it needs at least one key, such as cmdb: lmdb:./data/cmdb']],
  ['is a list', '- a', ['1: must be a mapping of keys to values, got a list']],
  [
    'holds two documents',
    'workers: 1\n---\nworkers: 1\n',
    ['1: holds several documents; the main file is one, only app files may be divided by ---'],
  ],
  ['has an unknown key', 'listn: x', ['1 listn: unknown key; did you mean listen?']],
  [
    'has a bad address',
    'listen: { http: localhost }',
    ['1 listen.http: must be HOST:PORT, :PORT or "[IPV6]:PORT", got "localhost"'],
  ],
  [
    'has a bad address in a list',
    'listen:\n  http:\n    - :80\n    - :99999\n',
    ['4 listen.http[1]: must be HOST:PORT, :PORT or "[IPV6]:PORT", got ":99999"'],
  ],
  [
    'has no address in its list',
    'listen: { http: [] }',
    [
      '1 listen.http: must be HOST:PORT, :PORT or "[IPV6]:PORT", a mapping with address, or a list of them, got an empty list',
    ],
  ],
  [
    'believes PROXY headers of nobody',
    'listen:\n  http:\n    - :80\n    - { address: ":81", proxyProtocol: true }\n',
    ['4 listen.http[1]: proxyProtocol needs trustedProxies: only their headers are believed'],
  ],
  [
    'has an address without an address',
    'listen: { http: { proxyProtocol: true } }\ntrustedProxies: [10.0.0.5]',
    ['1 listen.http.address: is required'],
  ],
  [
    'lists an address twice in two ways',
    'listen: { http: [":80", { address: ":80" }] }',
    ['1 listen.http[1]: :80 is listed twice'],
  ],
  [
    'listens over TLS without certificates',
    'listen: { https: ":443" }',
    ['1 listen.https: needs tls.certificates, tls.default or tls.acme'],
  ],
  [
    'orders certificates without a key to keep them',
    'listen: { https: ":443" }\ntls: { acme: { directory: "https://acme.example/dir" } }',
    [
      '2 tls.acme: needs key, the same on all machines that share the store (openssl rand -base64 32)',
      '1 listen.https: needs tls.certificates, tls.default or tls.acme',
    ],
  ],
  [
    'orders certificates of nobody',
    `listen: { https: ":443" }\ntls: { default: a.pem, acme: { key: ${'x'.repeat(32)} } }`,
    ['2 tls.acme: needs directory, the URL of an authority'],
  ],
  [
    'falls back to the same authority, and is bound to half an account',
    `listen: { https: ":443" }\ntls: { acme: { directory: "https://a.example/dir", key: ${'x'.repeat(32)}, eab: { kid: k }, fallback: { directory: "https://a.example/dir" } } }`,
    ['2 tls.acme.eab: needs both kid and hmac', '2 tls.acme.fallback: is the same authority'],
  ],
  [
    'proves wildcards by no program',
    `listen: { https: ":443" }\ntls: { acme: { directory: "https://a.example/dir", key: ${'x'.repeat(32)}, dns: { command: [""] } } }`,
    ['2 tls.acme.dns.command[0]: must be text, got ""'],
  ],
  [
    'proves wildcards by an empty command',
    `listen: { https: ":443" }\ntls: { acme: { directory: "https://a.example/dir", key: ${'x'.repeat(32)}, dns: { command: [] } } }`,
    ['2 tls.acme.dns.command: must be a list of words such as [/usr/local/bin/dns-hook], got an empty list'],
  ],
  [
    'has certificates without an address',
    'tls: { certificates: ./certs/*.pem }',
    ['1 tls: has a use only with listen.https'],
  ],
  [
    'gives unknown hosts a certificate that there is not',
    'listen: { https: ":443" }\ntls: { certificates: ./certs/*.pem, unknown: default }',
    ['2 tls.unknown: default needs tls.default'],
  ],
  [
    'has one address for both',
    'listen: { http: ":443", https: ":443" }\ntls: { default: a.pem }',
    ['1 listen.https[0]: :443 is also an address of listen.http'],
  ],
  ['lists an address twice', 'listen: { http: [":80", ":80"] }', ['1 listen.http[1]: :80 is listed twice']],
  [
    'has one address for two purposes',
    'listen: { http: ":80" }\nadmin: { listen: ":80", token: 0123456789abcdef }',
    ['2 admin.listen: :80 is also an address of listen.http'],
  ],
  [
    'has a bad admin address',
    'admin: { listen: "unix:" }',
    ['1 admin.listen: must be HOST:PORT, :PORT or "[IPV6]:PORT" or unix:PATH, got "unix:"'],
  ],
  [
    'has a short signing key, which is not shown',
    'cmdb: { url: "redis://:p@10.0.0.7", signingKey: secret }',
    ['1 cmdb.signingKey: must be at least 32 visible ASCII characters, got another value (not shown)'],
  ],
  [
    'advertises a port',
    'node:\n  advertise: "10.0.0.5:80"',
    ['2 node.advertise: must be without a port, such as 10.0.0.5, got "10.0.0.5:80"'],
  ],
  [
    'is one of several machines and has no signing key',
    'cmdb: redis://:p@10.0.0.7\nnode: { advertise: 10.0.0.5 }',
    ['1 cmdb: needs signingKey, the same on all machines that share the store (openssl rand -base64 32)'],
  ],
  [
    'opens the admin API without a token',
    'admin:\n  listen: 0.0.0.0:8081',
    ['1 admin.token: is required if admin.listen is not loopback, got 0.0.0.0:8081 without a token'],
  ],
  [
    'has a socket with a path that no socket can have',
    `admin: { listen: "unix:/${'x'.repeat(107)}" }`,
    [`1 admin.listen: /${'x'.repeat(107)} has more than 107 bytes, too many for a socket; choose a shorter path`],
  ],
  [
    'gives a mode to an address',
    'admin: { listen: "127.0.0.1:8081", socket: { mode: "0660" } }',
    ['1 admin.socket: has a use only if admin.listen is a socket'],
  ],
  [
    'opens the socket to a group that its mode keeps out',
    'admin: { socket: { group: operators } }',
    ['1 admin.socket.group: needs mode: "0660"; with 0600 no group may use the socket'],
  ],
  [
    'opens the socket to everybody',
    'admin: { socket: { mode: 0666 } }',
    ['1 admin.socket.mode: must be 0600 or 0660, got "0666"'],
  ],
  [
    'opens the admin API on all addresses',
    'admin: { listen: ":8081" }',
    ['1 admin.token: is required if admin.listen is not loopback, got :8081 without a token'],
  ],
  [
    'has a short token',
    'admin: { token: secret }',
    ['1 admin.token: must be at least 16 visible ASCII characters, got another value (not shown)'],
  ],
  [
    'has an unknown store',
    'cmdb: mysql://u:hunter2@h/',
    [
      '1 cmdb: must begin with lmdb:PATH, redis://, rediss://, redis+unix://, redis-sentinel:// or redis-cluster://, got another value (not shown)',
    ],
  ],
  [
    'has a store without directory',
    'cmdb: "lmdb:"',
    ['1 cmdb: names no directory; write lmdb:./data/cmdb, got another value (not shown)'],
  ],
  [
    'has a store without host',
    'cmdb: { url: "redis://" }',
    [
      '1 cmdb.url: is not readable; write redis://:PASSWORD@10.0.0.7:6379, with : @ and / in the password as %3A %40 and %2F, got another value (not shown)',
    ],
  ],
  [
    'has a store with a password that is not encoded',
    'cmdb: redis://:a@b@h',
    [
      '1 cmdb: is not readable; write redis://:PASSWORD@10.0.0.7:6379, with : @ and / in the password as %3A %40 and %2F, got another value (not shown)',
    ],
  ],
  [
    'has a store with a named database',
    'cmdb: redis://h/db',
    ['1 cmdb: must end in the number of a database or nothing, got another value (not shown)'],
  ],
  [
    'has a store of several hosts',
    'cmdb: redis://h,i',
    ['1 cmdb: names several hosts; write redis-cluster:// or redis-sentinel://, got another value (not shown)'],
  ],
  ['has a store without URL', 'cmdb: { name: x }', ['1 cmdb.url: is required']],
  [
    'has a store that is a list',
    'cmdb: [a]',
    ['1 cmdb: must be a URL such as lmdb:./data/cmdb or redis://host:6379/0, or a mapping with url, got a list'],
  ],
  [
    'has an authority for an embedded store',
    'cmdb: { url: "lmdb:x", caFile: y }',
    ['1 cmdb.caFile: has no use with an lmdb store'],
  ],
  [
    'has workers of another kind',
    'workers: many',
    ['1 workers: must be a whole number from 1 to 1024, or auto, got "many"'],
  ],
  [
    'has a bad port range',
    'runtimes: { process: { ports: 20000 } }',
    ['1 runtimes.process.ports: must be a range of ports such as 20000-29999, got "20000"'],
  ],
  [
    'has a port range backwards',
    'runtimes: { process: { ports: 300-200 } }',
    ['1 runtimes.process.ports: must begin with the lower port, got "300-200"'],
  ],
  [
    'has two engines',
    'runtimes:\n  docker:\n    socketPath: /s\n    host: tcp://127.0.0.1:2375',
    ['3 runtimes.docker.socketPath: socketPath and host exclude each other'],
  ],
  [
    'has an engine without TLS',
    'runtimes:\n  docker:\n    host: tcp://10.0.0.5:2375',
    [
      '3 runtimes.docker.host: an engine off loopback needs TLS: anyone who reaches it is root there; set caFile, certFile and keyFile',
    ],
  ],
  [
    'has a certificate without key',
    'runtimes:\n  docker:\n    host: tcp://10.0.0.5:2376\n    certFile: c',
    ['4 runtimes.docker.certFile: certFile and keyFile are needed together'],
  ],
  [
    'has TLS for a socket',
    'runtimes:\n  docker: { caFile: c }',
    ['2 runtimes.docker: caFile, certFile and keyFile have a use only with host'],
  ],
  [
    'has a bad engine address',
    'runtimes: { docker: { host: 10.0.0.5 } }',
    ['1 runtimes.docker.host: must be an address such as tcp://10.0.0.5:2376, got "10.0.0.5"'],
  ],
  [
    'has a bad subnet',
    'runtimes: { docker: { subnet: 10.0.0.0/33 } }',
    ['1 runtimes.docker.subnet: must be an IPv4 subnet from /8 to /29 such as 10.210.0.0/16, got "10.0.0.0/33"'],
  ],
  [
    'has a subnet that is wider than a bridge can use',
    'runtimes: { oci: { subnet: 10.0.0.0/8 } }',
    ['1 runtimes.oci.subnet: must be an IPv4 subnet from /16 to /29 such as 10.210.0.0/16, got "10.0.0.0/8"'],
  ],
  [
    'trusts something else',
    'trustedProxies: [10.0.0.0/8, proxy]',
    ['1 trustedProxies[1]: must be an IP address or subnet such as 10.0.0.0/8, got "proxy"'],
  ],
  [
    'has an unknown log level',
    'log: { level: loud }',
    ['1 log.level: must be trace, debug, info, warn, error, fatal or silent, got "loud"'],
  ],
  [
    'has a bad default',
    'defaults: { idleTtl: soon }',
    ['1 defaults.idleTtl: must be a duration from 1ms to 24d such as 5m, got "soon"'],
  ],
  [
    'has an app key among the defaults',
    'defaults: { image: x }',
    ['1 defaults.image: unknown key; docs/configuration.md has them all'],
  ],
  [
    'has a bad plan',
    'plans:\n  small:\n    scale: { max: x }',
    ['3 plans.small.scale.max: must be a whole number from 1 to 1000, got "x"'],
  ],
  [
    'has a plan with a bad name',
    'plans: { Big One: {} }',
    ['1 plans."Big One": the name must be a name of at most 40 lower-case letters, digits and inner hyphens'],
  ],
];

for (const [title, content, problems] of cases) {
  t.test(`a main file is refused that ${title}`, async (t) => {
    t.strictSame(
      await problemsOf({ 'main.yaml': content }),
      problems.map((problem) => `main.yaml:${problem}`),
    );
  });
}

t.test('problems of the main file and of app files are named in one run', async (t) => {
  const found = await problemsOf({
    'main.yaml': 'workers: x\nboot: { concurrency: 0 }\n',
    'apps/a.yaml': appYaml('a', 'port: x\n'),
    'apps/b.yaml': 'a: [',
  });
  t.strictSame(found, [
    'main.yaml:1 workers: must be a whole number from 1 to 1024, or auto, got "x"',
    'main.yaml:2 boot.concurrency: must be a whole number from 1 to 1000, got 0',
    'apps/a.yaml:5 port: must be a whole number from 1 to 65535, got "x"',
    'apps/b.yaml:1: is not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ]',
  ]);
});

t.test('LOG_LEVEL wins over the file, and a wrong one is a problem', async (t) => {
  const files = await makeFiles({ 'main.yaml': 'log: { level: warn }\n' });
  t.teardown(files.remove);
  t.equal((await loadConfig(files.main, { LOG_LEVEL: 'debug' })).log.level, 'debug');
  t.equal((await loadConfig(files.main, {})).log.level, 'warn');
  t.strictSame(await problemsOf({ 'main.yaml': mainYaml }, { LOG_LEVEL: 'loud' }), [
    'main.yaml:1 log.level: environment variable LOG_LEVEL must be trace, debug, info, warn, error, fatal or silent, got "loud"',
  ]);
});

t.test('a main file that cannot be read is a problem that names it', async (t) => {
  const files = await makeFiles({
    'secret.yaml': mainYaml,
    'latin.yaml': mainYaml,
    'huge.yaml': '#'.repeat(1_100_000),
  });
  t.teardown(files.remove);
  await mkdir(files.path('directory.yaml'));
  await symlink('nowhere', files.path('dangling.yaml'));
  await writeFile(files.path('latin.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xe9]));
  const problemOf = (name: string) =>
    loadConfig(files.path(name), {}).then(
      () => 'none',
      (error: ConfigError) => error.problems.map(formatProblem).join('\n').replaceAll(`${files.directory}/`, ''),
    );
  t.equal(await problemOf('missing.yaml'), 'missing.yaml:1: does not exist; name the main file with --config FILE');
  t.equal(await problemOf('directory.yaml'), 'directory.yaml:1: is a directory, not a file');
  t.equal(await problemOf('dangling.yaml'), 'dangling.yaml:1: is a symbolic link to a file that does not exist');
  t.equal(await problemOf('huge.yaml'), 'huge.yaml:1: is larger than 1 MiB; is it the right file?');
  t.equal(await problemOf('latin.yaml'), 'latin.yaml:1: is not UTF-8 text');
  t.equal(await problemOf('main.yaml/x'), 'main.yaml/x:1: does not exist; name the main file with --config FILE');
  if (process.getuid?.() === 0) return;
  await chmod(files.path('secret.yaml'), 0);
  t.match(await problemOf('secret.yaml'), /permission denied for user/);
});

t.test('an app file that is a directory is a problem, a foreign file is not', async (t) => {
  const files = await makeFiles({ 'main.yaml': mainYaml, 'apps/readme.txt': 'x', 'apps/.hidden.yaml': 'x' });
  t.teardown(files.remove);
  t.strictSame((await loadConfig(files.main, {})).apps, []);
  await mkdir(files.path('apps/odd.yaml'));
  await t.rejects(loadConfig(files.main, {}), {
    message: `${files.path('apps/odd.yaml')}:1: is a directory, not a file`,
  });
});

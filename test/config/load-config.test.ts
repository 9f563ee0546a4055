import { availableParallelism, hostname } from 'node:os';
import { resolve } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.js';
import { appYaml, configLoader, loadFiles, mainYaml, makeFiles, problemsOf } from './files.js';

const isRoot = process.getuid?.() === 0;

t.test('a main file of one line has the defaults of the documentation', async (t) => {
  const {
    file: _file,
    places: _places,
    notices: _notices,
    ...config
  } = await loadFiles({ 'main.yaml': 'workers: 1\n' });
  t.strictSame(config, {
    listen: { http: [{ host: '127.0.0.1', port: 8080 }], https: [] },
    tls: { certificates: [], unknown: 'refuse', handshakeTimeoutMs: 10_000 },
    admin: { listen: { path: resolve('data/admin.sock') }, socket: { mode: '0600' }, tokens: [] },
    cmdb: { url: `lmdb:${resolve('data/cmdb')}`, name: 'fastcontainer' },
    node: { host: hostname() },
    workers: 1,
    stateDir: resolve('data'),
    runtimes: {
      process: {
        stateDir: resolve('data/process'),
        scratchDir: isRoot ? '/var/lib/fastcontainer-scratch' : resolve('data/process/scratch'),
        ports: { from: 20_000, to: 29_999 },
        users: { from: 1_900_000_000, to: 1_900_065_535 },
        inheritGroups: false,
        pidNamespace: true,
      },
      docker: {
        network: 'fastcontainer',
        socketPath: '/var/run/docker.sock',
        diskBytes: 10 * 1024 ** 3,
        allowSharedNetwork: false,
        allowHost: [],
        hostRules: 'auto',
      },
      oci: {
        stateDir: resolve('data/oci'),
        program: 'runc',
        pluginDir: '/usr/lib/cni',
        bridge: 'fastcontainer0',
        subnet: '10.214.0.0/20',
        diskBytes: 256 * 1024 ** 2,
        imageBytes: 10 * 1024 ** 3,
        imagesBytes: 20 * 1024 ** 3,
        sandboxes: 2,
        allowHost: [],
        hostRules: 'auto',
      },
    },
    mounts: {},
    http: {
      maxHeaderSizeBytes: 16_384,
      maxHeaderLines: 500,
      maxUrlSizeBytes: 8_192,
      maxConnectionAgeMs: 3_600_000,
      headersTimeoutMs: 60_000,
      keepAliveTimeoutMs: 75_000,
      requestBodyIdleTimeoutMs: 60_000,
      requestBodyMinRateBytes: 500,
      responseStallTimeoutMs: 60_000,
      maxConnections: 20_000,
      maxConnectionsPerClient: 1_000,
      serverTiming: true,
    },
    trustedProxies: [],
    boot: { concurrency: 2 * availableParallelism(), maxWaiting: 10_000 },
    memory: {},
    wake: { budget: {} },
    log: { level: 'info' },
    usage: { keepMs: 62 * 86_400_000 },
    plans: {},
    defaults: {},
    appFiles: {},
    customerApps: [],
    heldApps: [],
    problems: [],
    apps: [],
  });
});

t.test('an app of few lines has the built-in figures of the original service', async (t) => {
  const { apps } = await loadFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') });
  t.match(apps, [
    {
      name: 'a',
      domains: ['a.localhost'],
      runtime: 'process',
      command: ['node', 'server.js'],
      env: {},
      mounts: [],
      readOnly: false,
      publish: false,
      limits: { memoryBytes: 536_870_912, cpuWeight: 100, pids: 256, files: 4096 },
      readiness: { tcp: true },
      overlap: true,
      scale: { min: 0, max: 1 },
      concurrency: { target: 50, max: 100, clientShare: 0.75 },
      queue: { max: 1000, timeoutMs: 45_000 },
      idleTtlMs: 1_200_000,
      maxLifetimeMs: 86_400_000,
      bootTimeoutMs: 30_000,
      drainTimeoutMs: 30_000,
      stopTimeoutMs: 10_000,
      requestTimeoutMs: 300_000,
      maxRequestBodyBytes: 10 * 1024 ** 3,
      maxBusyMs: 300_000,
    },
  ]);
});

t.test('every key of the main file is taken over', async (t) => {
  const config = await loadFiles({
    'main.yaml': `
listen: { http: [":80", "[::1]:8080", "localhost:0"] }
admin: { listen: unix:run/admin.sock, token: 0123456789abcdef }
cmdb: { url: rediss://u:p@h:1/2, name: staging, caFile: ca.pem, signingKey: 0123456789abcdef0123456789abcdef }
node: { host: web1, advertise: 10.0.0.5 }
workers: 3
apps: [./one.yaml, ./more/**/*.yml]
stateDir: /var/lib/fc
runtimes:
  process: { stateDir: /var/lib/p, ports: 100-200 }
  docker: { host: "tcp://10.0.0.5:2376", caFile: /ca, certFile: /cert, keyFile: /key, network: n, subnet: 10.9.0.0/24 }
http: { maxHeaderSize: 32k, headersTimeout: 1s, keepAliveTimeout: 2s, requestBodyIdleTimeout: 3s, requestBodyMinRate: 1k, responseStallTimeout: 4s, maxConnections: 7, maxConnectionsPerClient: 3, serverTiming: false }
trustedProxies: [10.0.0.0/8, "::1"]
boot: { concurrency: 3, maxWaiting: 20000 }
memory: { floor: 512m }
log: { level: debug }
`,
    'one.yaml': appYaml('one'),
    'more/deep/er/two.yml': appYaml('two'),
    'more/three.yml': appYaml('three'),
  });
  t.match(config, {
    listen: {
      http: [
        { host: undefined, port: 80 },
        { host: '::1', port: 8080 },
        { host: 'localhost', port: 0 },
      ],
    },
    admin: { listen: { path: resolve('run/admin.sock') }, token: '0123456789abcdef' },
    cmdb: {
      url: 'rediss://u:p@h:1/2',
      name: 'staging',
      caFile: resolve('ca.pem'),
      signingKey: '0123456789abcdef0123456789abcdef',
    },
    node: { host: 'web1', advertise: '10.0.0.5' },
    stateDir: '/var/lib/fc',
    runtimes: {
      process: { stateDir: '/var/lib/p', ports: { from: 100, to: 200 } },
      docker: {
        host: '10.0.0.5',
        port: 2376,
        tls: { ca: '/ca', cert: '/cert', key: '/key' },
        network: 'n',
        subnet: '10.9.0.0/24',
      },
    },
    http: {
      maxHeaderSizeBytes: 32_768,
      headersTimeoutMs: 1000,
      keepAliveTimeoutMs: 2000,
      requestBodyIdleTimeoutMs: 3000,
      requestBodyMinRateBytes: 1_024,
      responseStallTimeoutMs: 4_000,
      maxConnections: 7,
      maxConnectionsPerClient: 3,
      serverTiming: false,
    },
    trustedProxies: ['10.0.0.0/8', '::1'],
    boot: { concurrency: 3, maxWaiting: 20_000 },
    memory: { floorBytes: 512 * 1024 ** 2 },
    log: { level: 'debug' },
  });
  t.notOk('socketPath' in config.runtimes.docker);
  t.strictSame(config.apps.map(({ name }) => name).toSorted(), ['one', 'three', 'two']);
});

t.test('every key of an app file is taken over', async (t) => {
  const { apps } = await loadFiles({
    'main.yaml': mainYaml,
    'apps/a.yaml': `
name: a
domains: [A.Example., "*.Bücher.example"]
runtime: docker
image: registry.example:5000/a:1.10
command: [run, 5, "", true, 1.10]
port: 3000
cwd: /srv
user: 1000
readOnly: true
publish: true
env: { VERSION: 1.10, DEBUG: true, EMPTY: "", HEX: 0x10, TEXT: a: b }
mounts: [{ source: data, target: /data }, { source: /x, target: /x, readOnly: true }]
limits: { memory: 128m, cpus: 0.25, cpuWeight: 50, pids: unlimited, files: 1024 }
readiness: { http: /healthz?full=1 }
overlap: true
scale: { min: 1, max: 3 }
concurrency: { target: 5, max: 10 }
queue: { max: 0, timeout: 1s }
idleTtl: 250ms
maxLifetime: 1.5h
bootTimeout: 1m
drainTimeout: 2m
stopTimeout: 3s
requestTimeout: 4s
maxRequestBody: 1k
maxBusy: 1m
websocket: { quiet: 10m }
labels: { customer: c4711, example.org/plan: 1.10 }
tls: { redirect: true, hsts: 1d }
wake: { rules: [bots], asleep: { status: 404, retryAfter: 2m, type: text/html, body: x }, budget: { perApp: 5/h } }
maintenance: { mode: page, text: soon, retryAfter: 1m, limit: 2s }
requests: { perClient: 10/s, perApp: 100/s }
waiting: page
waitingPage: "<p>{{follow}}</p>"
affinity: cookie
pauseAfter: 100ms
`.replace('TEXT: a: b', 'TEXT: "a: b"'),
  });
  t.strictSame(apps[0], {
    name: 'a',
    domains: ['a.example', '*.xn--bcher-kva.example'],
    runtime: 'docker',
    command: ['run', '5', '', 'true', '1.10'],
    image: 'registry.example:5000/a:1.10',
    port: 3000,
    env: { VERSION: '1.10', DEBUG: 'true', EMPTY: '', HEX: '0x10', TEXT: 'a: b' },
    mounts: [
      { source: resolve('data'), target: '/data', readOnly: false, shared: false },
      { source: '/x', target: '/x', readOnly: true, shared: false },
    ],
    cwd: '/srv',
    user: '1000',
    readOnly: true,
    publish: true,
    limits: { memoryBytes: 134_217_728, cpus: 0.25, cpuWeight: 50, files: 1024 },
    readiness: { http: '/healthz?full=1' },
    overlap: true,
    scale: { min: 1, max: 3 },
    concurrency: { target: 5, max: 10, clientShare: 0.75 },
    queue: { max: 0, timeoutMs: 1000 },
    idleTtlMs: 250,
    maxLifetimeMs: 5_400_000,
    bootTimeoutMs: 60_000,
    drainTimeoutMs: 120_000,
    stopTimeoutMs: 3000,
    requestTimeoutMs: 4000,
    maxRequestBodyBytes: 1024,
    maxBusyMs: 60_000,
    websocket: { quietMs: 600_000 },
    errorHeaders: {},
    labels: { customer: 'c4711', 'example.org/plan': '1.10' },
    tls: { redirect: true, hstsMs: 86_400_000 },
    wake: {
      rules: ['bots'],
      asleep: { status: 404, retryAfter: '2m', type: 'text/html', body: 'x' },
      budget: { perApp: '5/h' },
    },
    maintenance: { mode: 'page', text: 'soon', retryAfterMs: 60_000, limitMs: 2_000 },
    requests: { perClient: '10/s', perApp: '100/s' },
    waiting: 'page',
    waitingPage: '<p>{{follow}}</p>',
    affinity: 'cookie',
    pauseAfterMs: 100,
  });
});

t.test('what cannot be paused is not: plan and defaults say it of the others, an app itself is told', async (t) => {
  const defaults = `${mainYaml}\ndefaults: { pauseAfter: 30s }\n`;
  const { apps } = await loadFiles({
    'main.yaml': defaults,
    'apps/a.yaml': `${appYaml('a')}---\nname: b\ndomains: b.localhost\nruntime: docker\nimage: b\n`,
  });
  t.same(
    apps.map(({ pauseAfterMs }) => pauseAfterMs),
    [0, 30_000],
  );
  const problems = await problemsOf({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a', 'pauseAfter: 30s\n') });
  t.match(problems, [/pauseAfter: has no use with runtime process/]);
});

t.test('docker apps leave their port to the image unless told', async (t) => {
  const { apps } = await loadFiles({
    'main.yaml': mainYaml,
    'apps/a.yaml': 'name: a\ndomains: a.localhost\nruntime: docker\nimage: a\n',
  });
  t.match(apps[0], { port: undefined, domains: ['a.localhost'] });
});

t.test('a section whose lines are all commented out is an absent one', async (t) => {
  const config = await loadFiles({
    'main.yaml': 'defaults:\n#  idleTtl: 5m\nplans:\nhttp:\ncmdb: lmdb:x\n',
    'apps/a.yaml': appYaml('a', 'scale:\nenv:\n'),
  });
  t.match(config.apps[0], { scale: { min: 0, max: 1 }, env: {} });
});

t.test('a file may hold several apps, and empty documents are skipped', async (t) => {
  const content = `---\n${appYaml('a')}---\n# nothing\n---\n${appYaml('b')}---\n`;
  const { apps } = await loadFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': content });
  t.strictSame(
    apps.map(({ name }) => name),
    ['a', 'b'],
  );
});

t.test('anchors and aliases are refused, each with its line', async (t) => {
  const found = await problemsOf({
    'main.yaml': mainYaml,
    'apps/a.yaml': appYaml('a', 'env:\n  A: &x hi\n  B: *x\n'),
  });
  t.strictSame(found.toSorted(), [
    'apps/a.yaml:6: anchors (&name) are not supported; write the value out where it is needed',
    'apps/a.yaml:7: aliases (*name) are not supported; write the value out',
  ]);
});

t.test('relative directories of processes start at the working directory', async (t) => {
  const { apps } = await loadFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a', 'cwd: srv\n') });
  t.equal(apps[0]?.cwd, resolve('srv'));
});

t.test('a variable named __proto__ is a variable', async (t) => {
  const { apps } = await loadFiles({
    'main.yaml': mainYaml,
    'apps/a.yaml': appYaml('a', 'env: { __proto__: x, constructor: y }\n'),
  });
  t.strictSame(Object.entries(apps[0]?.env ?? {}), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ]);
  t.strictSame(await problemsOf({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a', 'plan: constructor\n') }), [
    'apps/a.yaml:5 plan: there is no plan "constructor"; the main file defines none',
  ]);
});

t.test('a thousand app files load, and load again without being parsed', async (t) => {
  const apps = Array.from(
    { length: 1000 },
    (_, n) => [`apps/app${n}.yaml`, appYaml(`app${n}`, 'scale: { max: 3 }\nenv: { A: "${X}" }\n')] as const,
  );
  const files = await makeFiles({ 'main.yaml': mainYaml, ...Object.fromEntries(apps) });
  t.teardown(files.remove);
  const load = configLoader(files.main, { X: 'x' });
  const before = performance.now();
  const first = await load();
  const between = performance.now();
  const second = await load();
  t.comment(`first ${(between - before).toFixed()} ms, again ${(performance.now() - between).toFixed()} ms`);
  t.equal(first.apps.length, 1000);
  t.strictSame(second, first);
  t.ok(
    second.apps.every((app, index) => app === first.apps[index]),
    'what did not change is the same object',
  );
  await files.write('apps/app7.yaml', appYaml('app7', 'port: x\n'));
  const third = await load();
  t.match(third.problems, [{ message: /^must be/, line: 5, path: 'port' }]);
  t.strictSame(third.heldApps, ['app7']);
  t.equal(third.apps.length, 1000, 'what it said last stays');
});

t.test('the main file is not an app file even where a pattern matches it', async (t) => {
  const { apps } = await loadFiles({ 'main.yaml': 'apps: ./*.yaml\n', 'a.yaml': appYaml('a') });
  t.strictSame(
    apps.map(({ name }) => name),
    ['a'],
  );
});

t.test('a directory of apps that does not exist holds none', async (t) => {
  const files = await makeFiles({ 'main.yaml': 'apps: [./none/*.yaml, ./none.yaml]\n' });
  t.teardown(files.remove);
  t.strictSame((await loadConfig(files.main, {})).apps, []);
});

t.test('an admin address without a token is refused if an app shares the loopback with it', async (t) => {
  const files = { 'apps/a.yaml': appYaml('a') };
  const shared = /admin\.token: is required: app a can connect to 127\.0\.0\.1:8081/;
  await t.rejects(loadFiles({ 'main.yaml': 'admin: { listen: "127.0.0.1:8081" }\n', ...files }), { message: shared });
  await loadFiles({ 'main.yaml': 'admin: { listen: "127.0.0.1:8081", token: 0123456789abcdef }\n', ...files });
  await loadFiles({ 'main.yaml': 'admin: { listen: unix:admin.sock }\n', ...files });
  const docker = { 'apps/a.yaml': 'name: a\ndomains: a.localhost\nruntime: docker\nimage: a\n' };
  await loadFiles({ 'main.yaml': 'admin: { listen: "127.0.0.1:8081" }\n', ...docker });
  const host = 'admin: { listen: "127.0.0.1:8081" }\nruntimes: { docker: { network: host } }\n';
  await t.rejects(loadFiles({ 'main.yaml': host, ...docker }), { message: shared });
});

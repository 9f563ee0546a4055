import { execFileSync } from 'node:child_process';
import { chmod, chown, link, mkdir, rename, symlink } from 'node:fs/promises';
import t from 'tap';
import { formatProblem } from '../../src/config/problem.js';
import { configLoader, makeFiles, type Files } from './files.js';

const isRoot = process.getuid?.() === 0;
const mainFile = `
cmdb: lmdb:./data/cmdb
apps:
  - ./apps/*.yaml
  - path: ./srv/*/app.yaml
    trust: customer
    domains: "*.example.org"
    plan: small
    images: [registry.example/customers/, php]
plans:
  small: { runtime: docker, user: "1000:1000", idleTtl: 5m, scale: { max: 2 }, queue: { max: 10 }, limits: { memory: 128m }, env: { FROM_PLAN: x } }
`;

function appOf(name: string, lines = ''): string {
  return `name: ${name}\ndomains: [${name}.example.org]\nimage: php:8\n${lines}`;
}

async function load(contents: Record<string, string>, prepare?: (files: Files) => Promise<void>) {
  const files = await makeFiles({ 'main.yaml': mainFile, ...contents });
  try {
    await prepare?.(files);
    const config = await configLoader(files.main, { SECRET: 'hunter2' })();
    const problems = config.problems.map(formatProblem).map((line) => line.replaceAll(`${files.directory}/`, ''));
    return { apps: config.apps, problems, names: config.apps.map(({ name }) => name).toSorted() };
  } finally {
    await files.remove();
  }
}

t.test('a customer says what the app is, the plan says how and as whom it runs', async (t) => {
  const { apps, problems } = await load({
    'srv/c1/app.yaml': appOf('a', 'idleTtl: 1m\nscale: { max: 1 }\nenv: { COST: "5$", TWICE: "$$" }\n'),
  });
  t.strictSame(problems, []);
  t.match(apps[0], {
    name: 'a',
    image: 'php:8',
    runtime: 'docker',
    user: '1000:1000',
    limits: { memoryBytes: 128 * 1024 ** 2 },
    idleTtlMs: 60_000,
    env: { FROM_PLAN: 'x', COST: '5$', TWICE: '$$' },
  });
});

t.test(
  'with runtime oci a customer has its own directory in the container, and the images that are allowed',
  async (t) => {
    const asOci = mainFile
      .replace('runtime: docker', 'runtime: oci')
      .replace('images: [', 'images: ["rootfs:/srv/images/", ');
    const command = 'command: [php, -S, "0.0.0.0:8080"]';
    const { apps, problems } = await load({
      'main.yaml': asOci,
      'srv/c1/app.yaml': `name: a\ndomains: a.example.org\n${command}\n`,
      'srv/c2/app.yaml': `name: b\ndomains: b.example.org\n${command}\nimage: rootfs:/srv/images/php\n`,
      'srv/c3/app.yaml': `name: c\ndomains: c.example.org\n${command}\nimage: rootfs:/srv/images/../../root\n`,
      'srv/c4/app.yaml': `name: d\ndomains: d.example.org\n${command}\nimage: rootfs:/etc\n`,
    });
    t.match(problems, [
      /^srv\/c3\/app.yaml:4 image: must be `host`, `rootfs:/,
      /^srv\/c4\/app.yaml:4 image: is not among the `images`/,
    ]);
    t.equal(problems.length, 2);
    const [own, image] = apps;
    const [mount] = own?.mounts ?? [];
    t.match(mount?.source, /\/srv\/c1$/);
    t.match(own, { cwd: mount?.source, mounts: [{ target: mount?.source, readOnly: false }] });
    t.match(image, { image: 'rootfs:/srv/images/php', mounts: [] });
  },
);

t.test('no figure of a customer is above that of the plan', async (t) => {
  const greedy =
    'idleTtl: 24d\nscale: { min: 5, max: 9 }\nqueue: { max: 9999, timeout: 24h }\nconcurrency: { target: 9000, max: 9000 }\n' +
    'maxLifetime: 24d\nbootTimeout: 24h\ndrainTimeout: 24h\nstopTimeout: 1h\nrequestTimeout: 24d\nmaxRequestBody: 1t\n';
  const [greedyOne, modest] = [
    await load({ 'srv/c1/app.yaml': appOf('a', greedy) }),
    await load({ 'srv/c1/app.yaml': appOf('a') }),
  ];
  t.strictSame(greedyOne.problems, []);
  t.strictSame(greedyOne.apps, modest.apps);
});

const refusals: [title: string, lines: string, problem: string][] = [
  [
    'a variable of the daemon',
    'env: { A: "${SECRET}" }',
    '4 env.A: no variable is put into a file of a customer; write the value out, and $NAME for a variable of a shell',
  ],
  ['a user', 'user: root', '4 user: is not for a customer to say; the operator says it in plan or defaults'],
  [
    'a mount',
    'mounts: [{ source: /, target: /host }]',
    '4 mounts: is not for a customer to say; the operator says it in plan or defaults',
  ],
  [
    'a runtime',
    'runtime: process',
    '4 runtime: is not for a customer to say; the operator says it in plan or defaults',
  ],
  ['a plan', 'plan: large', '4 plan: is not for a customer to say; the operator says it in plan or defaults'],
  [
    'limits',
    'limits: { memory: 64t }',
    '4 limits: is not for a customer to say; the operator says it in plan or defaults',
  ],
  [
    'a published port',
    'publish: true',
    '4 publish: is not for a customer to say; the operator says it in plan or defaults',
  ],
  [
    'labels',
    'labels: { customer: another }',
    '4 labels: is not for a customer to say; the operator says it in plan or defaults',
  ],
  ['an unknown key', 'idelTtl: 5m', '4 idelTtl: unknown key; did you mean idleTtl?'],
];

for (const [title, lines, problem] of refusals) {
  t.test(`a customer's file is refused for ${title}, and no other with it`, async (t) => {
    const { problems, names } = await load({
      'srv/c1/app.yaml': appOf('a', `${lines}\n`),
      'srv/c2/app.yaml': appOf('b'),
    });
    t.strictSame(problems, [`srv/c1/app.yaml:${problem}`]);
    t.strictSame(names, ['b']);
    t.notMatch(problems.join(), /hunter2/);
  });
}

t.test('foreign domains, wildcards and images are refused', async (t) => {
  const domains = ['a.other.org', 'x.y.example.org', 'example.org', '"*.example.org"', '"*.a.example.org"'];
  for (const domain of domains) {
    const { problems, names } = await load({ 'srv/c1/app.yaml': `name: a\ndomains: ${domain}\nimage: php\n` });
    t.strictSame(names, [], domain);
    t.match(problems, [
      /^srv\/c1\/app\.yaml:2 domains: .*(is not below \*\.example\.org|a wildcard is the operator's)/,
    ]);
  }
  for (const image of [
    'php-evil',
    'php:5000/evil',
    'registry.example/customers/',
    'registry.example/other',
    'evil/php',
  ]) {
    const { names } = await load({ 'srv/c1/app.yaml': appOf('a').replace('php:8', image) });
    t.strictSame(names, [], image);
  }
  for (const image of ['php', 'php@sha256:00', 'registry.example/customers/c1/shop:7']) {
    const { names } = await load({ 'srv/c1/app.yaml': appOf('a').replace('php:8', image) });
    t.strictSame(names, ['a'], image);
  }
});

t.test('what a customer reaches by a link, or is no file of its own, is not read', async (t) => {
  const evil: [string, (files: Files) => Promise<unknown>, RegExp][] = [
    ['a link to another file', (files) => symlink('/etc/shadow', files.path('srv/c1/app.yaml')), /is a link/],
    ['a link to the file of another', (files) => symlink('../c2/app.yaml', files.path('srv/c1/app.yaml')), /is a link/],
    ['a second name of a file', (files) => link(files.path('secret'), files.path('srv/c1/app.yaml')), /is a link/],
    ['a pipe', async (files) => execFileSync('mkfifo', [files.path('srv/c1/app.yaml')]), /not a regular file/],
    [
      'a device',
      async (files) => isRoot && execFileSync('mknod', [files.path('srv/c1/app.yaml'), 'c', '1', '5']),
      /not a regular file/,
    ],
    ['a directory', (files) => mkdir(files.path('srv/c1/app.yaml')), /is a directory/],
    ['a large file', (files) => files.write('srv/c1/app.yaml', '#'.repeat(65 * 1024)), /larger than 64 KiB/],
  ];
  for (const [title, make, expected] of evil) {
    if (title === 'a device' && !isRoot) continue;
    const { problems, names } = await load(
      { 'srv/c1/x': '', 'srv/c2/app.yaml': appOf('b'), secret: appOf('s') },
      async (files) => {
        await make(files);
      },
    );
    t.match(problems, [expected], title);
    t.equal(problems.length, 1, title);
    t.strictSame(names, ['b'], title);
    t.notMatch(problems.join(), /root|php/, 'nothing of what it leads to is told');
  }
});

t.test('a directory that a customer swaps for a link to that of another is not read', async (t) => {
  const main = mainFile.replace('./srv/*/app.yaml', './srv/*/conf/app.yaml');
  const { names } = await load(
    { 'main.yaml': main, 'srv/c1/x': '', 'srv/c2/conf/app.yaml': appOf('b') },
    async (files) => {
      await symlink('../c2/conf', files.path('srv/c1/conf'));
    },
  );
  t.strictSame(names, ['b']);
});

t.test(
  'a file that belongs to somebody else, or that everybody may write, is not read',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const { problems, names } = await load(
      { 'srv/c1/app.yaml': appOf('a'), 'srv/c2/app.yaml': appOf('b') },
      async (files) => {
        await chown(files.path('srv/c1/app.yaml'), 4711, 4711);
        await chmod(files.path('srv/c2/app.yaml'), 0o666);
      },
    );
    t.strictSame(names, []);
    t.strictSame(problems, [
      'srv/c1/app.yaml:1: belongs to another user than its directory',
      'srv/c2/app.yaml:1: may be written by everybody on this host; chmod o-w',
    ]);
  },
);

t.test('nobody takes the name of an app of another: the operator wins, then who was first', async (t) => {
  const operators = `name: shop\ndomains: [shop.example.org]\nruntime: docker\nimage: x\n`;
  const one = await load({ 'apps/z.yaml': operators, 'srv/c1/app.yaml': appOf('shop').replace('[shop.', '[mine.') });
  t.strictSame(one.names, ['shop']);
  t.equal(one.apps[0]?.image, 'x');
  t.match(one.problems, [/^srv\/c1\/app\.yaml:1 name: app shop is also in apps\/z\.yaml:1/]);

  const files = await makeFiles({ 'main.yaml': mainFile, 'srv/c2/app.yaml': appOf('shop') });
  t.teardown(files.remove);
  const loadAgain = configLoader(files.main, {});
  const [before] = (await loadAgain()).apps;
  // Of a directory that comes first.
  await files.write('srv/c1/app.yaml', appOf('shop').replace('[shop.', '[mine.'));
  const twins = await loadAgain();
  t.equal(twins.apps[0], before);
  t.match(twins.problems, [{ file: files.path('srv/c1/app.yaml') }]);
  // Nor while the file of the other is broken.
  await files.write('srv/c2/app.yaml', 'name: [');
  const broken = await loadAgain();
  t.equal(broken.apps[0], before);
  t.equal(broken.apps.length, 1);
});

t.test('an operator takes a domain from a customer, who keeps the others', async (t) => {
  const operators = 'name: o\ndomains: [b.example.org, c.example.org]\nruntime: docker\nimage: x\n';
  const { apps, problems } = await load({
    'apps/o.yaml': operators,
    'srv/c1/app.yaml': 'name: a\ndomains: [a.example.org, b.example.org]\nimage: php\n',
    'srv/c2/app.yaml': 'name: c\ndomains: [c.example.org]\nimage: php\n',
  });
  t.strictSame(Object.fromEntries(apps.map(({ name, domains }) => [name, domains])), {
    o: ['b.example.org', 'c.example.org'],
    a: ['a.example.org'],
  });
  t.match(problems, [
    /c1\/app\.yaml:2 domains\[1\]: b\.example\.org belongs to app o/,
    /c2\/app\.yaml:2 domains\[0\]: c\.example/,
  ]);
});

t.test('a mapping without trust, or with **, is refused', async (t) => {
  const files = await makeFiles({ 'main.yaml': 'apps: { path: ./x/*.yaml, domains: a.org }\n' });
  t.teardown(files.remove);
  await t.rejects(configLoader(files.main, {})(), { message: /apps\.trust: is required/ });
  await files.write('main.yaml', 'apps: [{ path: ./x/**/*.yaml, trust: customer, domains: a.org }]\n');
  await t.rejects(configLoader(files.main, {})(), { message: /apps\[0\]\.path: must not hold \*\*/ });
});

t.test('a file that is replaced while it is read as another is seen the next time', async (t) => {
  const files = await makeFiles({ 'main.yaml': mainFile, 'srv/c1/app.yaml': appOf('a') });
  t.teardown(files.remove);
  const again = configLoader(files.main, {});
  await again();
  await files.write('srv/c1/new', appOf('a', 'idleTtl: 1m\n'));
  await rename(files.path('srv/c1/new'), files.path('srv/c1/app.yaml'));
  t.equal((await again()).apps[0]?.idleTtlMs, 60_000);
});

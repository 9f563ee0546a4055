import { chownSync, writeFileSync } from 'node:fs';
import { chmod, rm, symlink } from 'node:fs/promises';
import t, { type Test } from 'tap';
import type { Config } from '../../src/config/config.js';
import { ConfigError, formatProblem } from '../../src/config/problem.js';
import { ConfigThread } from '../../src/config/reader/config-thread.js';
import { watchConfig } from '../../src/config/watch-config.js';
import { eventually } from '../fixtures/eventually.js';
import { appYaml, configLoader, mainYaml, makeFiles } from './files.js';

async function filesOf(t: Test, contents: Record<string, string>) {
  const files = await makeFiles(contents);
  t.teardown(() => files.remove());
  return files;
}

function ttls({ apps }: Config): Record<string, number> {
  return Object.fromEntries(apps.map(({ name, idleTtlMs }) => [name, idleTtlMs / 60_000]));
}

const three = {
  'main.yaml': mainYaml,
  'apps/a.yaml': appYaml('a'),
  'apps/b.yaml': appYaml('b'),
  'apps/c.yaml': appYaml('c'),
};

t.test('of files that changed only those are looked at that are named', async (t) => {
  const files = await filesOf(t, three);
  const load = configLoader(files.main, {});
  const first = await load();
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 1m\n'));
  await files.write('apps/b.yaml', appYaml('b', 'idleTtl: 2m\n'));
  const second = await load([files.path('apps/a.yaml')]);
  t.strictSame(ttls(second), { a: 1, b: 20, c: 20 });
  t.equal(second.apps[2], first.apps[2], 'the others are the same objects');
  t.strictSame(ttls(await load([])), { a: 1, b: 20, c: 20 });
  t.strictSame(ttls(await load()), { a: 1, b: 2, c: 20 });
});

t.test('all files are looked at if what is named concerns another, or all', async (t) => {
  const cases: [string, (files: Awaited<ReturnType<typeof makeFiles>>) => Promise<string>][] = [
    ['a file that appeared', (files) => files.write('apps/d.yaml', appYaml('d')).then(() => 'apps/d.yaml')],
    ['a file that has gone', (files) => rm(files.path('apps/a.yaml')).then(() => 'apps/a.yaml')],
    ['a file that was broken', (files) => files.write('apps/a.yaml', 'name: [').then(() => 'apps/a.yaml')],
    ['another name', (files) => files.write('apps/a.yaml', appYaml('x')).then(() => 'apps/a.yaml')],
    [
      'another domain',
      (files) =>
        files.write('apps/a.yaml', appYaml('a').replace('a.localhost', 'x.localhost')).then(() => 'apps/a.yaml'),
    ],
    [
      'a link in the place of a file',
      async (files) => {
        await files.write('elsewhere.yaml', appYaml('a', 'idleTtl: 9m\n'));
        await rm(files.path('apps/a.yaml'));
        await symlink('../elsewhere.yaml', files.path('apps/a.yaml'));
        return 'apps/a.yaml';
      },
    ],
    ['the main file', (files) => files.write('main.yaml', `${mainYaml}defaults: {}\n`).then(() => 'main.yaml')],
  ];
  for (const [title, change] of cases) {
    const files = await filesOf(t, three);
    const load = configLoader(files.main, {});
    await load();
    const named = await change(files);
    await files.write('apps/c.yaml', appYaml('c', 'idleTtl: 3m\n'));
    t.equal(ttls(await load([files.path(named)]))['c'], 3, title);
  }
});

t.test('a change that the main file forbids is refused, and neither it nor what follows is lost', async (t) => {
  const files = await filesOf(t, {
    ...three,
    'main.yaml': `${mainYaml}admin: { listen: "127.0.0.1:0" }\n`,
    ...Object.fromEntries(['a', 'b', 'c'].map((name) => [`apps/${name}.yaml`, dockerYaml(name)])),
  });
  const thread = new ConfigThread({ file: files.main, env: {} });
  t.teardown(() => thread.close());
  await thread.load();
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 1m\n'));
  await files.write('apps/b.yaml', dockerYaml('b', 'idleTtl: 2m\n'));
  await rm(files.path('apps/c.yaml'));
  await t.rejects(thread.load([files.path('apps/a.yaml')]), ConfigError);
  await t.rejects(thread.load([files.path('apps/a.yaml')]), ConfigError, 'also when it is asked again');
  await files.write('apps/a.yaml', dockerYaml('a'));
  t.strictSame(ttls(await thread.load([files.path('apps/a.yaml')])), { a: 20, b: 2 });
});

function dockerYaml(name: string, lines = ''): string {
  return `name: ${name}\ndomains: [${name}.localhost]\nruntime: docker\nimage: app\nport: 80\n${lines}`;
}

t.test(
  'the watch names the file that changed, and none if more happened than the kernel is sure to tell',
  async (t) => {
    const files = await filesOf(t, { ...three, 'more/x.txt': '' });
    const load = configLoader(files.main, {});
    const asked: (readonly string[] | undefined)[] = [];
    const watching = watchConfig({
      config: await load(),
      load: (changed) => {
        asked.push(changed);
        return load(changed);
      },
      onConfig: () => {},
      onError: (error) => t.fail(error.message),
    });
    t.teardown(() => watching.close());
    await eventually(() => asked.length > 0);
    t.strictSame(asked.splice(0), [undefined], 'what changed before the first sight is read');
    await files.write('apps/b.yaml', appYaml('b', 'idleTtl: 2m\n'));
    await eventually(() => asked.length > 0);
    t.strictSame(asked.splice(0), [[files.path('apps/b.yaml')]]);
    await watching.reload();
    t.strictSame(asked.splice(0).at(-1), undefined, 'who asks gets all');
    // In turn: the kernel makes one event of equal ones that follow each other.
    for (let n = 0; n < 2_000; n += 1) writeFileSync(files.path(`apps/${n % 2}.txt`), String(n));
    await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 2m\n'));
    await eventually(() => asked.length > 0);
    t.strictSame(asked[0], undefined);
  },
);

t.test('whatever is edited, reading the named file finds what a look at all files finds', async (t) => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  let state = seed;
  const below = (most: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >> 8) % most;
  };
  const files = await filesOf(t, three);
  const thread = new ConfigThread({ file: files.main, env: {} });
  t.teardown(() => thread.close());
  const all = configLoader(files.main, {});
  await Promise.all([thread.load(), all()]);
  const names = ['a', 'b', 'c', 'd'];
  for (let step = 0; step < 40; step += 1) {
    const file = `apps/${names[below(4)]}.yaml`;
    const name = below(8) === 0 ? names[below(4)]! : file.slice(5, 6);
    const sound = appYaml(name, `idleTtl: ${1 + below(3)}m\n${below(4) === 0 ? 'bootTimeout: 30m\n' : ''}`);
    const edit = below(12);
    if (edit === 0) await rm(files.path(file), { force: true });
    else if (edit === 1) await files.write(file, 'name: [');
    else if (edit === 2)
      await files.write(file, sound.replace('.localhost]', `.localhost, ${names[below(4)]}.example]`));
    else if (edit === 3) await files.write(file, `${sound}---\n${appYaml(names[below(4)]!)}`);
    else await files.write(file, sound);
    const [named, whole] = [await thread.load([files.path(file)]), await all()];
    t.strictSame(pictureOf(named), pictureOf(whole), `step ${step} of seed ${seed}`);
    if (!t.passing()) return;
  }
});

function pictureOf({ apps, appFiles, heldApps, problems, notices, customerApps, places }: Config) {
  const byName = Object.fromEntries(apps.map((app) => [app.name, app]));
  return { byName, appFiles, heldApps, customerApps, places, notices, problems: problems.map(formatProblem) };
}

t.test('a file that has become unreachable is its own problem, and the others are read', async (t) => {
  const files = await filesOf(t, {
    ...three,
    'main.yaml': `${mainYaml}apps: ./apps/{*,*/*}.yaml\n`,
    'apps/d/d.yaml': appYaml('d'),
  });
  const thread = new ConfigThread({ file: files.main, env: {} });
  t.teardown(() => thread.close());
  await thread.load();
  await rm(files.path('apps/d'), { recursive: true });
  await files.write('apps/d', 'a file where the directory was');
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 1m\n'));
  const config = await thread.load([files.path('apps/d/d.yaml')]);
  t.strictSame(ttls(config), { a: 1, b: 20, c: 20 });
});

t.test('a file that may not be looked at is its own problem, and the others are read', async (t) => {
  const user = process.geteuid?.();
  const files = await filesOf(t, {
    ...three,
    'main.yaml': `${mainYaml}apps: ./apps/{*,*/*}.yaml\n`,
    'apps/d/d.yaml': appYaml('d'),
  });
  // The rules are for users other than root.
  if (user === 0) {
    chownSync(files.directory, 65_534, 65_534);
    process.seteuid?.(65_534);
    t.teardown(() => process.seteuid?.(0));
  }
  const load = configLoader(files.main, {});
  // Files that are known to have settled are looked at before they are read.
  const now = Date.now() + 10_000;
  t.intercept(Date, 'now', { value: () => now });
  await load();
  if (user === 0) process.seteuid?.(0);
  // Its names can be listed, and nothing more.
  await chmod(files.path('apps/d'), 0o744);
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 1m\n'));
  if (user === 0) process.seteuid?.(65_534);
  for (const named of [undefined, [files.path('apps/d/d.yaml')]]) {
    const config = await load(named);
    t.strictSame(ttls(config), { a: 1, b: 20, c: 20, d: 20 });
    t.match(config.problems.map(formatProblem), [/d\.yaml:1: cannot be read: permission denied for user \S+$/]);
  }
  if (user === 0) process.seteuid?.(0);
  await chmod(files.path('apps/d'), 0o755);
});

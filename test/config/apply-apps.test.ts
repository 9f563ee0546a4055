import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { resolveClaims } from '../../src/cmdb/claims.js';
import type { AppChange, DomainConflict, PutOrigin } from '../../src/cmdb/cmdb.js';
import { type ApplyOptions, createAppApplier } from '../../src/config/apply-apps.js';
import { ManifestFile } from '../../src/config/manifest.js';
import type { App } from '../../src/model/app.js';
import { appYaml, loadFiles } from './files.js';

/** Owns domains as the port demands, and remembers what it was asked. */
function store() {
  const apps = new Map<string, readonly string[]>();
  const calls: { put: string[]; remove: string[] }[] = [];
  const origins: Record<string, PutOrigin | undefined>[] = [];
  const holdings: (readonly string[] | undefined)[] = [];
  let failure: Error | undefined;
  return {
    apps,
    calls,
    origins,
    holdings,
    failWith: (error: Error | undefined) => (failure = error),
    find: async () => undefined,
    apply: async ({ put, remove, origins: from, files }: AppChange): Promise<DomainConflict[]> => {
      if (failure) throw failure;
      calls.push({ put: put.map(({ name }) => name), remove: [...remove] });
      holdings.push(files?.apps && files.apps.toSorted());
      origins.push(Object.fromEntries(put.map(({ name }) => [name, from?.get(name)])));
      for (const name of remove) apps.delete(name);
      const { accepted, conflicts } = resolveClaims(put, {
        ownerOf: (domain) => [...apps].find(([, theirs]) => theirs.includes(domain))?.[0],
        domainsOf: (name) => apps.get(name) ?? [],
      });
      for (const { name, domains } of accepted) apps.set(name, domains);
      return [...conflicts];
    },
  };
}

async function setUp(t: Test) {
  const directory = await mkdtemp(join(tmpdir(), 'fastcontainer-apply-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const manifestFile = new ManifestFile(join(directory, 'state'));
  const lines: string[] = [];
  const logger = pino(
    { level: 'trace' },
    { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) },
  );
  const cmdb = store();
  const clock = { time: 1_000, now: () => clock.time };
  const files: Record<string, string> = {};
  const customers = new Set<string>();
  const otherHosts = async () => [];
  const applier = () => {
    const it = createAppApplier({ cmdb, host: 'here', otherHosts, manifestFile, clock, logger });
    return {
      apply: (apps: readonly App[], { patterns = [], max, ...more }: TestOptions = { max: 1_000 }) => {
        const appFiles = Object.fromEntries(apps.map(({ name }) => [name, files[name] ?? join(directory, 'none')]));
        const places = { patterns, targets: [], directories: [] };
        const said = { file: join(directory, 'main.yaml'), apps, appFiles, customerApps: [...customers], heldApps: [] };
        return it.apply({ ...said, places, ...(max !== undefined && { maxRemovals: max }) }, more);
      },
      get withheld() {
        return it.withheld;
      },
    };
  };
  return { directory, manifestFile, lines, cmdb, applier, clock, files, customers };
}

interface TestOptions extends ApplyOptions {
  readonly patterns?: readonly string[];
  /** See maxRemovals. */
  readonly max?: number;
}

/** Apps by name, each with its domains; `marker` changes something of them. */
async function apps(domains: Record<string, string[]>, marker = 'idleTtl: 1m\n'): Promise<readonly App[]> {
  const files = Object.entries(domains).map(([name, list]) => {
    return [`apps/${name}.yaml`, appYaml(name, marker).replace(`${name}.localhost`, list.join(', '))] as const;
  });
  return (await loadFiles({ 'main.yaml': 'workers: 1', ...Object.fromEntries(files) })).apps;
}

t.test('apps are put once; a start with the same files writes nothing', async (t) => {
  const { cmdb, applier, directory } = await setUp(t);
  const list = await apps({ a: ['a.localhost'], b: ['b.localhost'] });
  t.strictSame(await applier().apply(list, { identity: 'one' }), []);
  t.strictSame(await applier().apply(list, { identity: 'one' }), []);
  t.strictSame(cmdb.calls, [{ put: ['a', 'b'], remove: [] }]);
  t.strictSame(await readdir(join(directory, 'state')), ['applied-apps.json'], 'no temporary file is left');
});

t.test('only what changed is put, and what is gone is removed, also after a restart', async (t) => {
  const { cmdb, applier } = await setUp(t);
  await applier().apply(await apps({ a: ['a.localhost'], b: ['b.localhost'], c: ['c.localhost'] }));
  await applier().apply(await apps({ a: ['a.localhost'], b: ['new.localhost'] }));
  t.strictSame(cmdb.calls[1], { put: ['b'], remove: ['c'] });
  t.strictSame([...cmdb.apps.keys()], ['a', 'b']);
});

t.test('another identity of the store, or force, puts everything again', async (t) => {
  const { cmdb, applier } = await setUp(t);
  const list = await apps({ a: ['a.localhost'], b: ['b.localhost'] });
  const one = applier();
  await one.apply(list, { identity: 'one' });
  await one.apply(list, { identity: 'two' });
  await one.apply(list, { identity: 'two' });
  await one.apply(list, { identity: 'two', force: true });
  t.strictSame(
    cmdb.calls,
    Array.from({ length: 3 }, () => ({ put: ['a', 'b'], remove: [] })),
  );
});

t.test('a conflict is returned and logged, harms no other app, and is tried again', async (t) => {
  const { cmdb, applier, lines } = await setUp(t);
  cmdb.apps.set('foreign', ['x.localhost']);
  const list = await apps({ a: ['a.localhost', 'x.localhost'], b: ['b.localhost'] });
  const conflict = { domain: 'x.localhost', wantedBy: 'a', ownedBy: 'foreign' };
  t.strictSame(await applier().apply(list), [conflict]);
  t.strictSame(lines, [
    'domain x.localhost of app a belongs to app foreign; app a was not applied: take the domain out of one of them',
  ]);
  t.ok(cmdb.apps.has('b'));
  t.strictSame(await applier().apply(list), [conflict], 'after a restart');
  cmdb.apps.delete('foreign');
  t.strictSame(await applier().apply(list), []);
  t.strictSame(cmdb.apps.get('a'), ['a.localhost', 'x.localhost']);
});

t.test('an app that is refused keeps its older version, and is removed with its file', async (t) => {
  const { cmdb, applier } = await setUp(t);
  cmdb.apps.set('foreign', ['x.localhost']);
  const one = applier();
  await one.apply(await apps({ a: ['a.localhost'] }));
  await one.apply(await apps({ a: ['x.localhost'] }));
  t.strictSame(cmdb.apps.get('a'), ['a.localhost']);
  await one.apply([]);
  t.strictSame([...cmdb.apps.keys()], ['foreign']);
});

t.test('domains move, swap and are inherited within one change', async (t) => {
  const { cmdb, applier, lines } = await setUp(t);
  const one = applier();
  await one.apply(await apps({ a: ['a.localhost', 'm.localhost'], b: ['b.localhost'], gone: ['g.localhost'] }));
  t.strictSame(await one.apply(await apps({ b: ['m.localhost'], a: ['b.localhost'], c: ['g.localhost'] })), []);
  t.strictSame(Object.fromEntries(cmdb.apps), { a: ['b.localhost'], b: ['m.localhost'], c: ['g.localhost'] });
  t.strictSame(await one.apply(await apps({ a: ['m.localhost'], b: ['b.localhost'], c: ['g.localhost'] })), []);
  t.strictSame(Object.fromEntries(cmdb.apps), { a: ['m.localhost'], b: ['b.localhost'], c: ['g.localhost'] });
  t.strictSame(lines, []);
});

t.test('an app in a swap that another app blocks keeps what it had', async (t) => {
  const { cmdb, applier } = await setUp(t);
  cmdb.apps.set('foreign', ['x.localhost']);
  const one = applier();
  await one.apply(await apps({ a: ['a.localhost'], b: ['b.localhost'] }));
  const conflicts = await one.apply(await apps({ a: ['b.localhost', 'x.localhost'], b: ['a.localhost'] }));
  t.strictSame(conflicts.map((it) => `${it.wantedBy} ${'ownedBy' in it ? it.ownedBy : ''}`).toSorted(), [
    'a b',
    'a foreign',
    'b a',
  ]);
  t.strictSame(cmdb.apps.get('a'), ['a.localhost']);
});

t.test('a store that fails is tried again from the start, also for removals', async (t) => {
  const { cmdb, applier } = await setUp(t);
  const one = applier();
  cmdb.failWith(new Error('away'));
  await t.rejects(one.apply(await apps({ a: ['a.localhost'], b: ['b.localhost'] })), { message: 'away' });
  cmdb.failWith(undefined);
  await applier().apply(await apps({ a: ['a.localhost'] }));
  t.strictSame(cmdb.calls, [{ put: ['a'], remove: ['b'] }], 'b may have been put before the failure');
});

t.test('calls at the same time run one after the other', async (t) => {
  const { cmdb, applier } = await setUp(t);
  const one = applier();
  await Promise.all([
    one.apply(await apps({ a: ['a.localhost'] })),
    one.apply(await apps({ b: ['b.localhost'] })),
    one.apply([]),
  ]);
  t.strictSame(cmdb.calls, [
    { put: ['a'], remove: [] },
    { put: ['b'], remove: ['a'] },
    { put: [], remove: ['b'] },
  ]);
});

t.test('a manifest that cannot be read is reported and rebuilt', async (t) => {
  const { cmdb, applier, manifestFile, lines, directory } = await setUp(t);
  const list = await apps({ a: ['a.localhost'] });
  await mkdir(join(directory, 'state'), { mode: 0o700 });
  for (const content of ['', '{"apps":', 'null', '{"apps":{"a":1}}', '{"identity":1,"apps":{}}', '[]']) {
    await writeFile(manifestFile.path, content);
    await applier().apply(list);
    t.match(lines.pop(), /cannot be read and is rebuilt/, content);
    t.match(JSON.parse(await readFile(manifestFile.path, 'utf8')), { apps: { a: { hash: String, since: Number } } });
  }
  t.equal(cmdb.calls.length, 6);
});

t.test('a manifest that cannot be written is reported, the apps are applied all the same', async (t) => {
  const { cmdb, applier, lines, directory } = await setUp(t);
  await writeFile(join(directory, 'state'), 'a file where a directory should be');
  await applier().apply(await apps({ a: ['a.localhost'] }));
  t.ok(cmdb.apps.has('a'));
  t.ok(lines.some((line) => line.includes('cannot be written: check stateDir')));
});

t.test('the store is told since when this machine has had what it puts, also by the next process', async (t) => {
  const { cmdb, applier, clock } = await setUp(t);
  const [before, after] = [await apps({ a: ['a.localhost'] }), await apps({ a: ['a.localhost'] }, 'idleTtl: 2m\n')];
  await applier().apply(before, { identity: 'one' });
  clock.time = 2_000;
  await applier().apply(after, { identity: 'one' });
  clock.time = 3_000;
  await applier().apply(after, { identity: 'two' });
  await applier().apply(after, { identity: 'two', force: true });
  clock.time = 4_000;
  await applier().apply(before, { identity: 'two' });
  t.strictSame(cmdb.origins, [
    { a: { host: 'here', since: 1_000, changed: false } },
    { a: { host: 'here', since: 2_000, changed: true } },
    { a: { host: 'here', since: 2_000, changed: false } },
    { a: { host: 'here', since: 2_000, changed: false } },
    { a: { host: 'here', since: 4_000, changed: true } },
  ]);
});

t.test('what changed while the store was away counts from when it changed', async (t) => {
  const { cmdb, applier, clock } = await setUp(t);
  await applier().apply(await apps({ a: ['a.localhost'] }), { identity: 'one' });
  const changed = await apps({ a: ['b.localhost'] });
  cmdb.failWith(new Error('away'));
  clock.time = 2_000;
  await t.rejects(applier().apply(changed, { identity: 'one' }), { message: 'away' });
  cmdb.failWith(undefined);
  clock.time = 9_000;
  await applier().apply(changed, { identity: 'one' });
  t.match(cmdb.origins.at(-1), { a: { since: 2_000 } });
});

t.test('a clock that was set back does not make a changed file the older one', async (t) => {
  const { cmdb, applier, clock } = await setUp(t);
  await applier().apply(await apps({ a: ['a.localhost'] }));
  clock.time = 10;
  await applier().apply(await apps({ a: ['b.localhost'] }));
  t.match(cmdb.origins.at(-1), { a: { since: 1_001, changed: true } });
});

t.test('a machine that has forgotten what it applied goes by when its file got its content', async (t) => {
  const { cmdb, applier, clock, files, directory } = await setUp(t);
  const file = join(directory, 'a.yaml');
  await writeFile(join(directory, 'main.yaml'), '');
  await writeFile(file, '');
  files['a'] = file;
  const { ctimeMs } = await stat(file);
  clock.time = Date.now() + 60_000;
  await applier().apply(await apps({ a: ['a.localhost'] }));
  t.strictSame(cmdb.origins.at(-1), { a: { host: 'here', since: Math.round(ctimeMs), changed: false } });
});

t.test(
  'a directory that lost all its apps, or too many at once, removes nothing until the operator says so',
  async (t) => {
    const { cmdb, applier, lines, files } = await setUp(t);
    const names = Array.from({ length: 20 }, (_, n) => `a${n}`);
    const list = await apps(Object.fromEntries(names.map((name) => [name, [`${name}.localhost`]])));
    for (const name of names) files[name] = `/etc/fc/apps/${name}.yaml`;
    const patterns = ['/etc/fc/apps/*.yaml'];
    await applier().apply(list, { patterns });
    // After a restart, as where a file system was not mounted.
    for (const [left, fault] of [
      [[], /20 of 20 apps are no longer in any file, none is left in \/etc\/fc\/apps: is it mounted/],
      [list.slice(6), /6 of 20 apps are no longer in any file; nothing was removed; .* write maxRemovals: 6 /],
    ] as const) {
      const again = applier();
      await again.apply(left, { patterns });
      t.match(again.withheld, fault);
      t.match(lines.at(-1), fault);
    }
    t.equal(cmdb.apps.size, 20, 'nothing was removed');
    const asked = applier();
    await asked.apply(list.slice(6), { patterns, max: 5 });
    t.match(asked.withheld, /maxRemovals allows 5/);
    await asked.apply(list.slice(6), { patterns, max: 6 });
    t.equal(asked.withheld, undefined);
    t.equal(cmdb.apps.size, 14);
    await asked.apply(list.slice(8), { patterns });
    t.equal(cmdb.apps.size, 12, 'a few may always go');
  },
);

t.test('several small removals within an hour count as one large one, but not what the operator allowed', async (t) => {
  const { cmdb, applier, files, clock } = await setUp(t);
  const names = Array.from({ length: 20 }, (_, n) => `a${n}`);
  const list = await apps(Object.fromEntries(names.map((name) => [name, [`${name}.localhost`]])));
  for (const name of names) files[name] = `/etc/fc/apps/${name}.yaml`;
  const patterns = ['/etc/fc/apps/*.yaml'];
  await applier().apply(list, { patterns });
  for (const left of [1, 2, 3, 4, 5]) {
    clock.time += 60_000;
    const one = applier();
    await one.apply(list.slice(left), { patterns });
    t.equal(one.withheld, undefined, `${left} are gone`);
  }
  const sixth = applier();
  await sixth.apply(list.slice(6), { patterns });
  t.match(sixth.withheld, /1 of 20 apps are no longer in any file, 5 more were removed .*write maxRemovals: 6 /);
  t.equal(cmdb.apps.size, 15);
  await sixth.apply(list.slice(6), { patterns, max: 6 });
  t.equal(cmdb.apps.size, 14, 'the operator said so');
  clock.time += 3_600_000 - 60_000;
  await applier().apply(list.slice(8), { patterns });
  t.equal(cmdb.apps.size, 12, 'an hour later only what was removed since counts');
});

t.test('the store is told which apps the files hold, once and as they come and go', async (t) => {
  const { cmdb, applier } = await setUp(t);
  const [one, two] = [await apps({ a: ['a.localhost'] }), await apps({ a: ['a.localhost'], b: ['b.localhost'] })];
  await applier().apply(one, { identity: 'one' });
  await applier().apply(await apps({ a: ['a.localhost'] }, 'idleTtl: 2m\n'), { identity: 'one' });
  await applier().apply(two, { identity: 'one' });
  await applier().apply(one, { identity: 'one' });
  await applier().apply(one, { identity: 'two' });
  t.strictSame(cmdb.holdings, [['a'], undefined, ['a', 'b'], ['a'], ['a']]);
});

t.test(
  'an app that appeared while the store was away is told as held by its files when the store is back',
  async (t) => {
    const { cmdb, applier } = await setUp(t);
    const two = await apps({ a: ['a.localhost'], b: ['b.localhost'] });
    await applier().apply(await apps({ a: ['a.localhost'] }), { identity: 'one' });
    cmdb.failWith(new Error('away'));
    await t.rejects(applier().apply(two, { identity: 'one' }), { message: 'away' });
    cmdb.failWith(undefined);
    await applier().apply(two, { identity: 'one' });
    t.strictSame(cmdb.holdings.at(-1), ['a', 'b']);
  },
);

t.test("a customer's app is told as held from when the store has taken it, also if it refused it before", async (t) => {
  const { cmdb, applier, customers } = await setUp(t);
  customers.add('b');
  cmdb.apps.set('foreign', ['x.localhost']);
  const list = await apps({ a: ['a.localhost'], b: ['x.localhost'] });
  await applier().apply(list, { identity: 'one' });
  t.strictSame(cmdb.holdings.filter(Boolean), [['a']], 'what is refused is not held');
  cmdb.apps.delete('foreign');
  await applier().apply(list, { identity: 'one' });
  t.strictSame(cmdb.holdings.at(-1), ['a', 'b']);
  customers.add('c');
  await applier().apply(await apps({ a: ['a.localhost'], b: ['x.localhost'], c: ['c.localhost'] }), {
    identity: 'one',
  });
  t.strictSame(cmdb.holdings.at(-1), ['a', 'b', 'c']);
});

t.test("a refused app that becomes the operator's is told as held", async (t) => {
  const { cmdb, applier, customers } = await setUp(t);
  customers.add('a');
  cmdb.apps.set('foreign', ['x.localhost']);
  const list = await apps({ a: ['x.localhost'] });
  await applier().apply(list, { identity: 'one' });
  customers.delete('a');
  await applier().apply(list, { identity: 'one' });
  t.strictSame(cmdb.holdings.at(-1), ['a']);
});

t.test("a customer's app of which a change is refused for its domain is held as before", async (t) => {
  const { cmdb, applier, customers } = await setUp(t);
  customers.add('a');
  await applier().apply(await apps({ a: ['a.localhost'] }), { identity: 'one' });
  cmdb.apps.set('foreign', ['x.localhost']);
  await applier().apply(await apps({ a: ['x.localhost'] }), { identity: 'one' });
  await applier().apply(await apps({ a: ['x.localhost'], b: ['b.localhost'] }), { identity: 'one' });
  t.strictSame(
    cmdb.holdings.filter((apps) => apps?.length),
    [['a'], ['a', 'b']],
  );
});

t.test('what is applied is what the files said when it was asked for, whatever they say by then', async (t) => {
  const { cmdb, applier, customers, files } = await setUp(t);
  const one = applier();
  files['a'] = '/srv/apps/a.yaml';
  const applied = one.apply(await apps({ a: ['a.localhost'] }), { identity: 'one' });
  customers.add('a');
  files['a'] = '/srv/customers/a.yaml';
  await applied;
  t.match(cmdb.origins, [{ a: { host: 'here', customer: undefined } }]);
  t.strictSame(cmdb.holdings, [['a']]);
});

t.test('what the store has lost is put again though the files are the same', async (t) => {
  const { cmdb, applier } = await setUp(t);
  const list = await apps({ a: ['a.localhost'], b: ['b.localhost'] });
  await applier().apply(list, { identity: 'one' });
  await applier().apply(list, { identity: 'one', again: new Set(['b', 'other']) });
  t.strictSame(cmdb.calls.at(-1), { put: ['b'], remove: [] });
});

t.test('what the store was told is told again after a change that it took in part', async (t) => {
  const { cmdb, applier } = await setUp(t);
  const one = applier();
  const [before, more] = [await apps({ a: ['a.localhost'] }), await apps({ a: ['a.localhost'], x: ['x.localhost'] })];
  await one.apply(before, { identity: 'one' });
  const { apply } = cmdb;
  cmdb.apply = async ({ files }) => {
    cmdb.holdings.push(files?.apps);
    throw new Error('away');
  };
  await t.rejects(one.apply(more, { identity: 'one' }));
  t.strictSame(cmdb.holdings.at(-1), ['a', 'x']);
  cmdb.apply = apply;
  await one.apply(before, { identity: 'one' });
  t.strictSame(cmdb.holdings.filter(Boolean).at(-1), ['a']);
});

t.test('a removal counts though the store goes away before it is told what is held', async (t) => {
  const { cmdb, applier, customers, manifestFile } = await setUp(t);
  const one = applier();
  await one.apply(await apps({ a: ['a.localhost'] }), { identity: 'one' });
  customers.add('c');
  const renamed = await apps({ c: ['c.localhost'] });
  const { apply } = cmdb;
  cmdb.apply = async (change) => {
    if (change.put.length + change.remove.length === 0) throw new Error('away');
    return apply(change);
  };
  await t.rejects(one.apply(renamed, { identity: 'one' }));
  cmdb.apply = apply;
  await one.apply(renamed, { identity: 'one' });
  t.strictSame(cmdb.holdings.at(-1), ['c']);
  t.match(manifestFile.read().removals, [{ count: 1 }]);
});

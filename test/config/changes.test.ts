import t from 'tap';
import { describeChanges } from '../../src/config/changes.js';
import type { App } from '../../src/model/app.js';
import { appSchema } from '../../src/model/app-keys.js';
import { nameOf } from '../../src/model/schema/parsed.js';
import type { Shape } from '../../src/model/schema/shape.js';
import { appYaml, loadFiles } from './files.js';

async function changes(before: Record<string, string>, after: Record<string, string>): Promise<string[]> {
  const [old, next] = [await loadFiles(before), await loadFiles(after)];
  return describeChanges(old, next);
}

t.test('changes of apps are told figure by figure', async (t) => {
  const main = { 'main.yaml': 'plans: { small: { idleTtl: 5m } }' };
  const before = {
    ...main,
    'apps/a.yaml': appYaml('a', 'limits: { memory: 128m }\nenv: { A: x, SECRET: one, OLD: y }\nscale: { max: 1 }\n'),
    'apps/b.yaml': appYaml('b'),
  };
  const after = {
    ...main,
    'apps/a.yaml': appYaml(
      'a',
      'plan: small\nlimits: { memory: 1g, pids: 5, files: unlimited }\nenv: { A: x, SECRET: two }\nscale: { max: 3 }\nreadiness: { http: / }\nmounts: [{ source: /a, target: /b }]\n',
    ).replace('[a.localhost]', '[new.localhost]'),
    'apps/c.yaml': appYaml('c'),
  };
  t.strictSame(await changes(before, after), [
    'app a: domain new.localhost added',
    'app a: domain a.localhost removed',
    'app a: readiness tcp -> /',
    'app a: scale.max 1 -> 3',
    'app a: idleTtl 20m -> 5m',
    'app a: env.SECRET changed (in new containers)',
    'app a: env.OLD changed (in new containers)',
    'app a: mounts changed (in new containers)',
    'app a: limits.memory 128m -> 1g (in new containers)',
    'app a: limits.pids 256 -> 5 (in new containers)',
    'app a: limits.files 4096 -> unlimited (in new containers)',
    'app c added',
    'app b removed',
  ]);
});

t.test('changes of the main file say what needs a restart, and show no secret', async (t) => {
  const after = `
listen: { http: ":8080" }
admin: { token: 0123456789abcdef }
cmdb: redis://:hunter2@h
stateDir: elsewhere
http: { headersTimeout: 1s, maxHeaderSize: 1k }
runtimes: { docker: { network: n } }
log: { level: debug }
trustedProxies: ["::1"]
`;
  t.strictSame(await changes({ 'main.yaml': 'workers: 1' }, { 'main.yaml': after }), [
    'listen.http changed: needs a restart',
    'admin.listen changed: needs a restart',
    'admin.token changed: needs a restart',
    'cmdb.url changed: needs a restart',
    'stateDir changed: needs a restart',
    'runtimes.process changed: needs a restart',
    'runtimes.docker changed: needs a restart',
    'runtimes.oci changed: needs a restart',
    'http.maxHeaderSize changed: needs a restart',
    'http.headersTimeout changed: needs a restart',
    'trustedProxies changed: needs a restart',
    'log.level info -> debug',
  ]);
});

t.test('comments, order and a file of another name are no change', async (t) => {
  const before = {
    'main.yaml': 'workers: 1',
    'apps/a.yaml': appYaml('a', 'idleTtl: 60s\nport: 1\n'),
    'apps/b.yaml': appYaml('b'),
  };
  const after = {
    'main.yaml': '# same\nworkers: 1',
    'apps/z.yaml': appYaml('a', 'port: 1\nidleTtl: 1m\n'),
    'apps/b.yaml': appYaml('b'),
  };
  t.strictSame(await changes(before, after), []);
});

t.test('a key that alone changes is told, and so is another order of domains', async (t) => {
  const main = { 'main.yaml': 'workers: 1' };
  const before = { ...main, 'apps/a.yaml': appYaml('a').replace('[a.localhost]', '[a.localhost, b.localhost]') };
  const overlap = { ...main, 'apps/a.yaml': `${before['apps/a.yaml']}overlap: false\n` };
  const order = { ...main, 'apps/a.yaml': appYaml('a').replace('[a.localhost]', '[b.localhost, a.localhost]') };
  t.strictSame(await changes(before, overlap), ['app a: overlap true -> false']);
  t.strictSame(await changes(before, order), ['app a: domains in another order']);
});

t.test('no key of an app can differ without a word', async (t) => {
  const lines =
    'user: u\ncwd: /a\nport: 1\nenv: { A: x }\nerrorHeaders: { A: x }\nlabels: { A: x }\nlimits: { cpus: 1 }\nimage: i\n';
  const { apps, ...rest } = await loadFiles({ 'main.yaml': 'workers: 1', 'apps/a.yaml': appYaml('a', lines) });
  const [app] = apps;
  if (!app) throw new Error('no app');
  t.strictSame(
    Object.entries(appSchema.properties).map(([key, schema]) => nameOf(key, schema as Shape)),
    Object.keys(app),
    'the app has every key',
  );
  for (const [path, other] of others(app)) {
    const said = await describeChanges({ ...rest, apps }, { ...rest, apps: [other as unknown as App] });
    t.equal(said.length, 1, path);
    t.match(said[0], `app a: ${path === 'domains' ? 'domain' : path}`);
  }
});

/** The value with one of its leaves changed, once for each. */
function others(value: object, path = ''): [path: string, changed: unknown][] {
  return Object.entries(value).flatMap(([name, part]): [string, unknown][] => {
    const key = `${path}${name.replace(/(Ms|Bytes)$/, '')}`;
    const put = (changed: unknown) => ({ ...value, [name]: changed });
    if (key === 'name') return [];
    if (key === 'readiness') return [[key, put({ http: '/other' })]];
    if (Array.isArray(part)) return [[key, put([...part, 'other'])]];
    if (typeof part === 'object') return others(part, `${key}.`).map(([inner, changed]) => [inner, put(changed)]);
    return [[key, put(typeof part === 'boolean' ? !part : typeof part === 'number' ? part + 1000 : 'other')]];
  });
}

import t, { type Test } from 'tap';
import { loadConfig } from '../../src/config/load-config.js';
import { appYaml, makeFiles, mainYaml } from './files.js';

async function noticesOf(t: Test, contents: Record<string, string>): Promise<readonly string[]> {
  const files = await makeFiles(contents);
  t.teardown(files.remove);
  const { notices } = await loadConfig(files.main, {});
  return notices.map((notice) => notice.replaceAll(`${files.directory}/`, ''));
}

t.test('files as they should be cause no notice', async (t) => {
  t.same(await noticesOf(t, { 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') }), []);
});

t.test('a directory that is nearly the one of the pattern is named', async (t) => {
  const found = await noticesOf(t, { 'main.yaml': mainYaml, 'app/a.yaml': appYaml('a') });
  t.same(found, ['apps: no file matches ./apps/*.yaml: there is no directory apps; did you mean app?']);
});

t.test('a pattern that matches nothing is named, also where its directory is there or nothing is near', async (t) => {
  const main = `${mainYaml}apps: [./apps/*.yaml, ./sites/*/app.yaml]\n`;
  t.same(await noticesOf(t, { 'main.yaml': main, 'apps/note.txt': '' }), [
    'apps: no file matches ./apps/*.yaml',
    'apps: no file matches ./sites/*/app.yaml: there is no directory sites',
  ]);
});

t.test('a file that ends in .yml beside those that end in .yaml is named, unless a pattern matches it', async (t) => {
  const files = { 'apps/a.yaml': appYaml('a'), 'apps/b.yml': appYaml('b') };
  t.same(await noticesOf(t, { 'main.yaml': mainYaml, ...files }), [
    'apps: apps/b.yml is not read; write a pattern such as *.{yaml,yml}, or rename them',
  ]);
  t.same(await noticesOf(t, { 'main.yaml': `${mainYaml}apps: ./apps/*.{yaml,yml}\n`, ...files }), []);
  t.match(await noticesOf(t, { 'main.yaml': mainYaml, 'apps/b.yml': appYaml('b') }), [
    'apps: no file matches ./apps/*.yaml',
    /apps\/b\.yml is not read/,
  ]);
});

t.test('times that contradict each other are named with what to write', async (t) => {
  const lines = 'bootTimeout: 2m\nidleTtl: 2h\nmaxLifetime: 1h\n';
  t.same(await noticesOf(t, { 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a', lines) }), [
    'app a: bootTimeout 2m is longer than queue.timeout 45s: requests are refused while the boot goes on; write queue: { timeout: 2m } or more',
    'app a: idleTtl 2h is longer than maxLifetime 1h: an instance ends by its lifetime before it is idle for so long; write idleTtl: 1h or less',
  ]);
});

t.test('a variable that only a shell would replace is named, but not where there is a shell', async (t) => {
  const command = (words: string) => appYaml('a').replace('node, server.js', words);
  t.match(await noticesOf(t, { 'main.yaml': mainYaml, 'apps/a.yaml': command('serve, --port=$PORT') }), [
    /^app a: command: \$PORT is handed on as it stands/,
  ]);
  const shell = command(`/bin/sh, -c, 'exec serve --port=$PORT'`);
  t.same(await noticesOf(t, { 'main.yaml': mainYaml, 'apps/a.yaml': shell }), []);
});

t.test('of thousands of notices the first ones are told', async (t) => {
  const apps = Array.from({ length: 40 }, (_, n) => [`apps/a${n}.yaml`, appYaml(`a${n}`, 'idleTtl: 2d\n')] as const);
  const found = await noticesOf(t, { 'main.yaml': mainYaml, ...Object.fromEntries(apps) });
  t.equal(found.length, 20);
  t.equal(found.at(-1), 'and 21 more like these');
});

t.test('a maximum of concurrency alone is taken with a target that fits', async (t) => {
  const files = await makeFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a', 'concurrency: { max: 10 }\n') });
  t.teardown(files.remove);
  t.match((await loadConfig(files.main, {})).apps, [{ concurrency: { target: 10, max: 10 } }]);
});

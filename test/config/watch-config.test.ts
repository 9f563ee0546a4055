import { rename, rm, symlink } from 'node:fs/promises';
import t, { type Test } from 'tap';
import type { Config } from '../../src/config/config.js';
import { ConfigError, formatProblem } from '../../src/config/problem.js';
import { watchConfig } from '../../src/config/watch-config.js';
import { appYaml, configLoader, mainYaml, makeFiles, type Files } from './files.js';

type Event = { changes: string[]; next: Config } | { error: Error } | { problems: string[] } | 'restored';

/** Watches files and hands out what happens, one event after the other. */
async function watched(t: Test, contents: Record<string, string>, refuse?: () => Error | undefined) {
  const files = await makeFiles(contents);
  const load = configLoader(files.main, {});
  const events: Event[] = [];
  let wake = () => {};
  const push = (event: Event) => {
    events.push(event);
    wake();
  };
  const watching = watchConfig({
    config: await load(),
    load,
    onConfig: (next, changes) => {
      const error = refuse?.();
      if (error) throw error;
      push({ changes, next });
    },
    onError: (error) => push({ error }),
    onProblems: (problems) => push({ problems: problems.map(formatProblem) }),
    onRestored: () => push('restored'),
  });
  t.teardown(async () => {
    await watching.close();
    await files.remove();
  });
  const next = async (): Promise<Event> => {
    while (events.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return events.shift()!;
  };
  const changes = async () => {
    const event = await next();
    return typeof event === 'object' && 'changes' in event ? event.changes : event;
  };
  return { files, watching, next, changes, events };
}

async function replace(files: Files, name: string, content: string): Promise<void> {
  await files.write(`${name}.tmp`, content);
  await rename(files.path(`${name}.tmp`), files.path(name));
}

t.test('app files that are written, replaced by renaming, added and deleted are seen', async (t) => {
  const { files, changes } = await watched(t, { 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') });
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 5m\n'));
  t.strictSame(await changes(), ['app a: idleTtl 20m -> 5m']);
  await replace(files, 'apps/a.yaml', appYaml('a', 'idleTtl: 6m\n'));
  t.strictSame(await changes(), ['app a: idleTtl 5m -> 6m']);
  await replace(files, 'apps/a.yaml', appYaml('a', 'idleTtl: 7m\n'));
  t.strictSame(await changes(), ['app a: idleTtl 6m -> 7m'], 'also the second time');
  await files.write('apps/b.yaml', appYaml('b'));
  t.strictSame(await changes(), ['app b added']);
  await rm(files.path('apps/a.yaml'));
  t.strictSame(await changes(), ['app a removed']);
});

t.test('the main file is watched in the same way', async (t) => {
  const { files, changes } = await watched(t, { 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') });
  await replace(files, 'main.yaml', `${mainYaml}defaults: { idleTtl: 5m }\n`);
  t.strictSame(await changes(), ['app a: idleTtl 20m -> 5m']);
  await replace(files, 'main.yaml', `${mainYaml}defaults: { idleTtl: 5m }\nlisten: { http: ":1" }\n`);
  t.strictSame(await changes(), ['listen.http changed: needs a restart']);
});

t.test('a bad app file is said once and keeps its own app as it was, and no other', async (t) => {
  const { files, next, changes, watching, events } = await watched(t, {
    'main.yaml': mainYaml,
    'apps/a.yaml': appYaml('a'),
    'apps/b.yaml': appYaml('b'),
  });
  await files.write('apps/b.yaml', appYaml('b', 'port: x\n'));
  t.strictSame(await changes(), ['app b held: its file is wrong, what it said last stays']);
  t.match(await next(), { problems: [/b\.yaml:5 port: must be a whole number/] });
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 5m\n'));
  t.strictSame(await changes(), ['app a: idleTtl 20m -> 5m'], 'the change of another is applied');
  t.equal(await watching.reload(), 'unchanged');
  t.match(await next(), { problems: [/b\.yaml:5 port/] }, 'who asks is told again');
  await files.write('apps/b.yaml', appYaml('b', 'idleTtl: 6m\n'));
  t.strictSame(await changes(), ['app b: idleTtl 20m -> 6m', 'app b no longer held: its file is valid again']);
  t.equal(await next(), 'restored');
  t.strictSame(events, []);
});

t.test('a bad main file keeps everything as it was', async (t) => {
  const { files, next, changes, watching } = await watched(t, { 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') });
  await files.write('main.yaml', 'workers: x\n');
  const event = await next();
  t.ok(typeof event === 'object' && 'error' in event && event.error instanceof ConfigError);
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 5m\n'));
  t.equal(await watching.reload(), 'refused', 'the sound half is not applied');
  t.match(await next(), { error: /main\.yaml:1 workers/ });
  await files.write('main.yaml', mainYaml);
  t.strictSame(await changes(), ['app a: idleTtl 20m -> 5m']);
  t.equal(await next(), 'restored');
});

t.test('a file that is mended to what is in force is reported as restored', async (t) => {
  const { files, next } = await watched(t, { 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') });
  await files.write('main.yaml', 'workers: [');
  t.match(await next(), { error: Error });
  await files.write('main.yaml', mainYaml);
  t.equal(await next(), 'restored');
});

t.test('a touched file and a foreign file are no event', async (t) => {
  const { files, changes, watching, events } = await watched(t, { 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') });
  await files.write('apps/a.yaml', appYaml('a'));
  await files.write('apps/a.yaml.swp', 'x: [');
  await files.write('notes.txt', 'x');
  t.equal(await watching.reload(), 'unchanged');
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 5m\n'));
  t.strictSame(await changes(), ['app a: idleTtl 20m -> 5m']);
  t.strictSame(events, []);
});

t.test('a directory of apps that appears later is seen', async (t) => {
  const { files, changes } = await watched(t, { 'main.yaml': mainYaml });
  await files.write('apps/a.yaml', appYaml('a'));
  t.strictSame(await changes(), ['app a added']);
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 5m\n'));
  t.strictSame(await changes(), ['app a: idleTtl 20m -> 5m']);
});

t.test('patterns that change are followed', async (t) => {
  const { files, changes } = await watched(t, { 'main.yaml': mainYaml, 'more/deep/b.yaml': appYaml('b') });
  await files.write('main.yaml', `${mainYaml}apps: ./more/**/*.yaml\n`);
  t.strictSame(await changes(), ['app b added']);
  await files.write('more/deep/b.yaml', appYaml('b', 'idleTtl: 5m\n'));
  t.strictSame(await changes(), ['app b: idleTtl 20m -> 5m']);
});

t.test('a directory that is swapped by a symbolic link is seen', async (t) => {
  const { files, changes } = await watched(t, {
    'main.yaml': 'apps: ./current/*.yaml\n',
    'one/a.yaml': appYaml('a'),
    'two/a.yaml': appYaml('a', 'idleTtl: 5m\n'),
  });
  await symlink('one', files.path('current'));
  t.strictSame(await changes(), ['app a added']);
  await symlink('two', files.path('next'));
  await rename(files.path('next'), files.path('current'));
  t.strictSame(await changes(), ['app a: idleTtl 20m -> 5m']);
});

t.test('files behind links that are swapped together, as Kubernetes mounts them, are seen', async (t) => {
  const { files, changes } = await watched(t, {
    'main.yaml': mainYaml,
    'apps/..one/a.yaml': appYaml('a'),
    'apps/..two/a.yaml': appYaml('a', 'idleTtl: 5m\n'),
  });
  await symlink('..one', files.path('apps/..data'));
  await symlink('..data/a.yaml', files.path('apps/a.yaml'));
  t.strictSame(await changes(), ['app a added']);
  await symlink('..two', files.path('apps/..next'));
  await rename(files.path('apps/..next'), files.path('apps/..data'));
  t.strictSame(await changes(), ['app a: idleTtl 20m -> 5m']);
  await files.write('apps/..two/a.yaml', appYaml('a', 'idleTtl: 6m\n'));
  t.strictSame(await changes(), ['app a: idleTtl 5m -> 6m'], 'and so is a file where a link leads');
});

t.test('an asked-for reload tells what happened', async (t) => {
  const { files, watching, changes } = await watched(t, { 'main.yaml': mainYaml });
  t.equal(await watching.reload(), 'unchanged');
  await files.write('apps/a.yaml', appYaml('a'));
  const results = await Promise.all([watching.reload(), watching.reload()]);
  t.ok(
    results.includes('applied') || results.every((result) => result === 'unchanged'),
    'unless the watcher was faster',
  );
  t.strictSame(await changes(), ['app a added']);
});

t.test('a change that could not be taken over is tried again', async (t) => {
  let error: Error | undefined = new Error('the store is away');
  const { files, watching, next, changes } = await watched(t, { 'main.yaml': mainYaml }, () => error);
  await files.write('apps/a.yaml', appYaml('a'));
  t.match(await next(), { error: { message: 'the store is away' } });
  error = undefined;
  await watching.reload();
  t.strictSame((await changes()) as unknown, ['app a added']);
});

t.test('after close nothing happens any more', async (t) => {
  const { files, watching, events } = await watched(t, { 'main.yaml': mainYaml });
  await watching.close();
  await watching.close();
  await files.write('apps/a.yaml', appYaml('a'));
  t.equal(await watching.reload(), 'unchanged');
  t.strictSame(events, []);
});

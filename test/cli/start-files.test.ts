import t from 'tap';
import { appYaml, makeFiles, mainYaml } from '../config/files.js';
import { follow } from './run.js';
import { script, started } from './started.js';

t.test('a changed file is handed to the daemon, a bad one holds its app alone, SIGHUP always answers', async (t) => {
  const { files, line, child, ended } = await started(t);
  await line('listening');
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 5m\n'));
  await line('fake reloads');
  t.match(await line('configuration reloaded: app a: idleTtl 20m -> 5m'), {
    level: 'info',
    changes: ['app a: idleTtl 20m -> 5m'],
  });
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: x\n'));
  await line('fake reloads');
  t.match(await line('configuration reloaded'), {
    changes: ['app a held: its file is wrong, what it said last stays'],
  });
  t.match(await line('app files are wrong; what they said last stays in force, all others are applied'), {
    level: 'error',
    problems: [{ file: files.path('apps/a.yaml'), line: 5, path: 'idleTtl' }],
  });
  child.kill('SIGHUP');
  await line('app files are wrong');
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 5m\n'));
  await line('valid again');
  child.kill('SIGHUP');
  await line('SIGHUP: the configuration has not changed');
  child.kill('SIGTERM');
  t.equal(await ended, 0);
});

t.test('a bad main file keeps the old configuration as a whole', async (t) => {
  const { files, line, child, ended } = await started(t);
  await line('listening');
  await files.write('main.yaml', 'workers: x\n');
  t.match(await line('configuration not reloaded, the old one stays in force'), {
    level: 'error',
    problems: [{ file: files.main, line: 1, path: 'workers' }],
  });
  child.kill('SIGTERM');
  t.equal(await ended, 0);
});

t.test('a start with a broken app file serves the others and says so', async (t) => {
  const files = await makeFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a'), 'apps/b.yaml': 'name: [' });
  const { line, child, ended } = follow([script, files.main, '']);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
    await files.remove();
  });
  t.match(await line('listening'), { apps: 1 });
  t.match(await line('app files are wrong'), { level: 'error', problems: [{ file: files.path('apps/b.yaml') }] });
  child.kill('SIGTERM');
  t.equal(await ended, 0);
});

t.test('app files that no pattern matches are told at the start and with a reload, once', async (t) => {
  const { files, line, child, ended } = await started(t);
  await line('listening');
  await files.write('apps/b.yml', appYaml('b'));
  child.kill('SIGHUP');
  t.match(await line('b.yml is not read'), { level: 'warn' });
  await line('SIGHUP: the configuration has not changed');
  await files.write('apps/b.yaml', appYaml('b'));
  t.match(await line(''), { msg: 'fake reloads' }, 'not told again');
  child.kill('SIGTERM');
  t.equal(await ended, 0);
});

t.test('the log level changes with the file', async (t) => {
  const { files, line } = await started(t);
  await line('listening');
  await files.write('main.yaml', `${mainYaml}log: { level: debug }\n`);
  t.match(await line('configuration reloaded'), { changes: ['log.level info -> debug'] });
});

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { init } from '../../src/cli/init.js';
import { mainScript, run } from './run.js';

async function directory(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-init-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

t.test('init makes what check finds sound and start takes by itself', async (t) => {
  const dir = join(await directory(t), 'new');
  const made = await run([mainScript, 'init', dir]);
  t.match(made, { code: 0, stderr: '', stdout: `made ${dir}/fastcontainer.yaml` });
  const checked = await run([mainScript, 'check'], { cwd: dir });
  t.match(checked, { code: 0, stdout: /^ok: fastcontainer\.yaml, 1 app/ }, checked.stderr);
  const unit = await readFile(join(dir, 'fastcontainer.service'), 'utf8');
  t.match(unit, `ExecStart=${process.execPath} ${mainScript} start --config ${dir}/fastcontainer.yaml\n`);
  t.match(unit, `WorkingDirectory=${dir}\n`);
  t.notMatch(unit, /\/(etc|var\/lib|run)\/fastcontainer[/\n]/, 'nothing is left of other places');
});

t.test('init overwrites nothing, and then writes nothing else', async (t) => {
  const dir = await directory(t);
  await mkdir(join(dir, 'apps'));
  await writeFile(join(dir, 'apps', 'hello.yaml'), 'precious');
  const refused = await run([mainScript, 'init'], { cwd: dir });
  t.match(refused, { code: 6, stderr: 'apps/hello.yaml: already there, so nothing was written' });
  t.same(await readdir(dir), ['apps']);
  t.equal(await readFile(join(dir, 'apps', 'hello.yaml'), 'utf8'), 'precious');
});

t.test('a directory that a variable, a unit or YAML would read otherwise is refused', async (t) => {
  for (const odd of ['/tmp/a b', '/tmp/${HOME}', '/tmp/%h', '/tmp/a\nb'])
    await t.rejects(init(odd), { exitCode: 2, message: 'choose a directory of letters' }, odd);
});

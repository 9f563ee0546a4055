import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { allProcesses } from '../../../src/machine/proc-fs.js';
import { install, type Installation, type Spawned, spawnCommand, until, webApp } from '../../fixtures/daemon.js';
import { ask } from '../../fixtures/request.js';
import { keepersOn } from '../kept/keeper-fixture.js';

/** Open in what starts the daemon, with holes: node marks the inherited ones itself up to the first hole above 15. */
const leaked = [3, 4, 7, 9, 15, 16, 18, 21, 22, 30, 39, 40];

/** An app that tells which descriptors it was started with, then serves. In an app file `$$` stands for one. */
const telling = ['/bin/sh', '-c', `ls -d /proc/$$$$/fd/*; exec '${process.execPath}' '${webApp}'`];

async function installTelling(t: Test, main: Record<string, unknown> = {}): Promise<Installation> {
  const spec = { command: telling };
  return install(t, main, { first: spec, second: spec, third: spec, fourth: spec });
}

/** The daemon, started by a shell that has files open and does not close them. */
function spawnLeaking(t: Test, { dir, file }: Installation, ...flags: string[]): Promise<Spawned> {
  const leak = join(dir, 'leak');
  writeFileSync(leak, 'secret');
  const opens = leaked.map((fd) => `exec ${fd}<>'${leak}'; `).join('');
  const words = [process.execPath, 'dist/src/main.js', 'start', '--config', file, ...flags];
  return spawnCommand(t, 'bash', '-c', `${opens} exec ${words.map((word) => `'${word}'`).join(' ')}`);
}

/** Numbers of the descriptors that an app was started with. */
async function startedWith(daemon: Spawned, app: string): Promise<number[]> {
  await until(async () => (await ask(daemon.port, `${app}.localhost`)).status === 200);
  const lines = await until(() => {
    const found = daemon.log.filter((entry) => entry['app'] === app).map(({ output }) => String(output ?? ''));
    const fds = found.flatMap((line) => /^\/proc\/\d+\/fd\/(\d+)$/.exec(line)?.[1] ?? []);
    return fds.length >= 3 && fds;
  });
  return (lines as string[]).map(Number);
}

function linksOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

function storesIn(pid: number): number {
  return linksOf(pid).filter((link) => link.includes('/cmdb/')).length;
}

/** What a keeper may have open beside what it made itself. */
function foreignLinks(pid: number, { dir }: Installation): string[] {
  const own = [`${dir}/state/process/keepers`, `${dir}/state/process/output/`];
  const paths = linksOf(pid).filter((link) => link.startsWith('/') && link !== '/dev/null');
  return paths.filter((path) => !own.some((start) => path.startsWith(start)));
}

t.test('an app has 0, 1 and 2 and nothing else, whatever the daemon and its parent have open', async (t) => {
  const installation = await installTelling(t);
  const stateDir = join(installation.dir, 'state', 'process');
  const daemon = await spawnLeaking(t, installation);
  const pid = daemon.child.pid ?? 0;
  t.equal(linksOf(pid).filter((link) => link.endsWith('/leak')).length, leaked.length, 'the daemon has them');
  t.ok(storesIn(pid) > 0, 'and a store');
  t.same(await startedWith(daemon, 'first'), [0, 1, 2], 'the first start');
  t.same(await startedWith(daemon, 'second'), [0, 1, 2], 'a later start');
  const [keeper = 0] = await keepersOn(stateDir);
  t.same(foreignLinks(keeper, installation), [], 'its keeper');
  process.kill(keeper, 'SIGKILL');
  await until(async () => !(await keepersOn(stateDir)).includes(keeper));
  t.same(await startedWith(daemon, 'third'), [0, 1, 2], 'by another keeper');
  t.same(foreignLinks((await keepersOn(stateDir))[0] ?? 0, installation), []);
  daemon.child.kill('SIGKILL');
  await once(daemon.child, 'exit');
  const next = await spawnLeaking(t, installation, '--stop-apps');
  t.equal((await ask(next.port, 'third.localhost')).status, 200, 'one that was adopted serves on');
  t.same(await startedWith(next, 'fourth'), [0, 1, 2], 'the start of a later daemon');
  for (const each of await keepersOn(stateDir)) t.same(foreignLinks(each, installation), []);
  next.child.kill('SIGTERM');
  t.same(await once(next.child, 'exit'), [0, null]);
});

t.test('workers have the store once and nothing of what started the daemon, nor do their apps', async (t) => {
  const installation = await installTelling(t, { workers: 2 });
  const stateDir = join(installation.dir, 'state', 'process');
  const daemon = await spawnLeaking(t, installation, '--stop-apps');
  const supervisor = daemon.child.pid ?? 0;
  for (const app of ['first', 'second', 'third', 'fourth']) t.same(await startedWith(daemon, app), [0, 1, 2], app);
  const workers = (await allProcesses()).filter(
    ({ pid, parent }) =>
      parent === supervisor && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('worker-main.js'),
  );
  t.equal(workers.length, 2);
  for (const { pid } of workers) {
    t.same(
      linksOf(pid).filter((link) => link.endsWith('/leak')),
      [],
    );
    t.equal(storesIn(pid), storesIn(supervisor), 'its own store alone');
  }
  const keepers = await keepersOn(stateDir);
  t.ok(keepers.length > 0);
  for (const keeper of keepers) t.same(foreignLinks(keeper, installation), []);
  daemon.child.kill('SIGTERM');
  t.same(await once(daemon.child, 'exit'), [0, null]);
  await until(async () => (await keepersOn(stateDir)).length === 0);
});

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { fetchAdmin } from '../fixtures/admin.js';
import { ask, askIdentity } from '../fixtures/request.js';
import { install, type Installation, type Spawned, spawnDaemon, until } from '../fixtures/daemon.js';

async function configurationOf({ admin }: Spawned): Promise<{ status: number; ok?: boolean; detail?: string }> {
  const answer = await fetchAdmin(`${admin}/readyz`);
  const { checks } = (await answer.json()) as { checks: Record<string, { ok: boolean; detail?: string }> };
  return { status: answer.status, ...checks['configuration'] };
}

async function metricOf({ admin }: Spawned, name: string): Promise<string | undefined> {
  const text = await (await fetchAdmin(`${admin}/metrics`)).text();
  return new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1];
}

function breakFile({ dir }: Installation, name: string): Promise<void> {
  return writeFile(join(dir, 'apps', `${name}.yaml`), `name: ${name}\ndomains: [\n`);
}

function check({ file }: Installation): Promise<number> {
  return new Promise((settle) => {
    execFile(process.execPath, ['dist/src/main.js', 'check', '--config', file], (error) =>
      settle(error === null ? 0 : Number(error.code)),
    );
  });
}

t.test('a broken file at the start and at run time holds its app at what it said last, and no other', async (t) => {
  const installation = await install(t, {}, { hello: { env: { MARK: 'one' } }, other: {} });
  const first = await spawnDaemon(t, installation, '--stop-apps');
  t.equal((await ask(first.port, 'hello.localhost')).status, 200);
  t.match(await configurationOf(first), { status: 200, ok: true });
  first.child.kill('SIGTERM');
  await once(first.child, 'exit');

  await breakFile(installation, 'hello');
  await installation.writeApp('late', {});
  const second = await spawnDaemon(t, installation, '--stop-apps');
  for (const name of ['hello', 'other', 'late'])
    t.equal((await ask(second.port, `${name}.localhost`)).status, 200, name);
  const found = await configurationOf(second);
  t.match(found, { status: 200, ok: true, detail: /1 problems in app files, 1 apps held: .*hello\.yaml:/ });
  t.equal(await metricOf(second, 'fastcontainer_config_held_apps'), '1');
  t.ok(second.log.some(({ level, msg }) => level === 'error' && /app files are wrong.*hello\.yaml/.test(String(msg))));
  t.equal(await check(installation), 1);

  // At run time, another one: everybody else's change is applied.
  await breakFile(installation, 'other');
  await installation.writeApp('new', {});
  await until(async () => (await ask(second.port, 'new.localhost')).status === 200);
  t.equal((await ask(second.port, 'other.localhost')).status, 200);
  t.equal(await metricOf(second, 'fastcontainer_config_held_apps'), '2');

  const { pid } = await askIdentity(second.port, 'hello.localhost');
  await installation.writeApp('hello', { env: { MARK: 'two' } });
  await installation.writeApp('other', {});
  await until(async () => (await askIdentity(second.port, 'hello.localhost')).pid !== pid);
  await until(async () => (await configurationOf(second)).detail === undefined);
  second.child.kill('SIGTERM');
  await once(second.child, 'exit');
});

t.test('a broken main file keeps what is in force, and says so', async (t) => {
  const installation = await install(t, {}, { hello: {} });
  const daemon = await spawnDaemon(t, installation, '--stop-apps');
  await writeFile(installation.file, 'listn: x\n');
  const { detail } = await until(async () => {
    const configuration = await configurationOf(daemon);
    return configuration.detail !== undefined && configuration.status === 200 ? configuration : undefined;
  });
  t.match(detail, /not taken over: .*listn: unknown key/);
  t.equal(await metricOf(daemon, 'fastcontainer_config_refused'), '1');
  t.equal((await ask(daemon.port, 'hello.localhost')).status, 200);
  daemon.child.kill('SIGTERM');
  await once(daemon.child, 'exit');
});

t.test(
  'the first process app beside an admin address without a token is refused at a reload, and nothing else',
  async (t) => {
    const installation = await install(t, { admin: { listen: '127.0.0.1:0' } }, {});
    const daemon = await spawnDaemon(t, installation, '--stop-apps');
    await installation.writeApp('first', {});
    const refusal = /admin\.token: is required: app first can connect to 127\.0\.0\.1:0/;
    await until(() => daemon.log.find(({ msg }) => refusal.test(String(msg))));
    t.match(await configurationOf(daemon), { status: 200, ok: true, detail: refusal }, 'it says so, and serves');
    t.equal((await ask(daemon.port, 'first.localhost')).status, 404);
    await installation.writeApp('first', undefined);
    await until(async () => (await configurationOf(daemon)).detail === undefined || undefined);
  },
);

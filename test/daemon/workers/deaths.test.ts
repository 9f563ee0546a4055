import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { isAlive, until } from '../../fixtures/daemon.js';
import { freePort } from '../../fixtures/redis.js';
import { ask, askIdentity, instances } from '../../fixtures/request.js';
import {
  completed,
  installWorkers,
  many,
  metric,
  script,
  spawnWorkers,
  terminate,
  workersOf,
} from './spawn-workers.js';

const host = 'hello.localhost';

t.test('a worker killed with -9 loses only what it carried, and is replaced', async (t) => {
  const daemon = await spawnWorkers(t, await installWorkers(t), '--stop-apps');
  const { pid } = await askIdentity(daemon.port, host);
  await many(10, () => ask(daemon.port, host));
  const slow = many(10, () =>
    ask(daemon.port, host, '/slow?ms=4000').then(
      ({ status }) => status,
      () => 0,
    ),
  );
  await until(async () => (await instances(daemon.admin, 'hello'))[0]?.inflight === 10 || undefined);
  const [victim = 0] = await workersOf(daemon);
  process.kill(victim, 'SIGKILL');
  const meanwhile = await many(50, () => ask(daemon.port, host));
  t.ok(
    meanwhile.every(({ status }) => status === 200),
    'new requests do not notice',
  );
  const outcomes = await slow;
  const lost = outcomes.filter((status) => status === 0).length;
  t.ok(lost > 0 && lost < 10, `its own ones are lost (${lost} of 10)`);
  t.equal(outcomes.filter((status) => status === 200).length, 10 - lost);
  await until(() => daemon.log.find(({ msg }) => msg === 'the replacement of a worker serves'));
  const users = async () => (await instances(daemon.admin, 'hello')) as unknown as { users: { session: string }[] }[];
  const before = (await users())[0]?.users.map(({ session }) => session) ?? [];
  await until(async () => {
    await many(10, () => ask(daemon.port, host));
    const now = (await users())[0]?.users.map(({ session }) => session) ?? [];
    return (now.length === 2 && (before.length === 2 || now.some((session) => !before.includes(session)))) || undefined;
  });
  t.equal((await askIdentity(daemon.port, host)).pid, pid, 'the container runs on');
  t.equal(await metric(daemon.admin, /^fastcontainer_worker_replacements_total\{reason="died"\}/), 1);
  t.ok((await metric(daemon.admin, completed)) > 0);
  t.equal(await terminate(daemon), 0);
  t.notOk(isAlive(pid), 'though one of its users was killed');
});

t.test('where all workers die at once, clients wait for the first replacement instead of being refused', async (t) => {
  const daemon = await spawnWorkers(t, await installWorkers(t), '--stop-apps');
  const { pid } = await askIdentity(daemon.port, host);
  const workers = await workersOf(daemon);
  // Stopped, they accept none of these.
  for (const worker of workers) process.kill(worker, 'SIGSTOP');
  const before = many(8, () => ask(daemon.port, host));
  await until(async () => {
    const { open, unaccepted } = await connectionsTo(daemon.port);
    return (open === 8 && unaccepted === 8) || undefined;
  });
  for (const worker of workers) process.kill(worker, 'SIGKILL');
  await until(() => !workers.some(isAlive) || undefined);
  t.notOk(
    daemon.log.some(({ msg }) => msg === 'the replacement of a worker serves'),
    'none of them serves',
  );
  const meanwhile = many(8, () => ask(daemon.port, host));
  for (const { status } of [...(await before), ...(await meanwhile)]) t.equal(status, 200);
  t.equal((await askIdentity(daemon.port, host)).pid, pid, 'the container runs on');
  t.equal(await terminate(daemon), 0);
  await t.rejects(ask(daemon.port, host), { code: 'ECONNREFUSED' }, 'a daemon that has ended accepts nothing');
});

t.test('a daemon that ends while it has no worker closes its port', async (t) => {
  const daemon = await spawnWorkers(t, await installWorkers(t));
  await askIdentity(daemon.port, host);
  for (const worker of await workersOf(daemon)) process.kill(worker, 'SIGKILL');
  await until(() => daemon.log.some(({ msg }) => /replacing it/.test(String(msg))) || undefined);
  const waiting = ask(daemon.port, host).then(
    ({ status }) => status,
    () => 0,
  );
  t.equal(await terminate(daemon), 0);
  t.ok([0, 200, 503].includes(await waiting), 'what waited is answered or let go, not left hanging');
  await t.rejects(ask(daemon.port, host), { code: 'ECONNREFUSED' });
});

t.test('a supervisor killed with -9 takes its workers along, not their requests nor the containers', async (t) => {
  const installation = await installWorkers(t);
  const first = await spawnWorkers(t, installation);
  const { pid, instance } = await askIdentity(first.port, host);
  const slow = many(4, () => ask(first.port, host, '/slow?ms=2500'));
  await until(async () => (await instances(first.admin, 'hello'))[0]?.inflight === 4 || undefined);
  const workers = await workersOf(first);
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  t.ok(
    (await slow).every(({ status }) => status === 200),
    'what was under way is finished',
  );
  await until(() => !workers.some(isAlive) || undefined);
  t.ok(isAlive(pid), 'the container outlives them');
  const second = await spawnWorkers(t, installation, '--stop-apps');
  t.match(await askIdentity(second.port, host), { pid, instance });
  t.equal(await terminate(second), 0);
  t.notOk(isAlive(pid));
});

t.test('a daemon whose workers cannot start ends with an error that says why', async (t) => {
  const port = await freePort();
  const first = await spawnWorkers(t, await installWorkers(t, { listen: { http: `127.0.0.1:${port}` } }));
  const second = await installWorkers(t, { listen: { http: `127.0.0.1:${port}` } });
  const child = spawn(process.execPath, [script, second.file], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  t.equal(code, 1);
  t.match(output, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: it is in use`));
  t.equal(await terminate(first), 0);
});

t.test('a daemon whose workers all end and cannot be replaced gives up', async (t) => {
  const installation = await installWorkers(t);
  const daemon = await spawnWorkers(t, installation);
  const records = join(installation.dir, 'state', 'process', 'instances');
  await rm(records, { recursive: true });
  await writeFile(records, 'no directory');
  const exited = once(daemon.child, 'exit') as Promise<[number | null]>;
  for (const pid of await workersOf(daemon)) process.kill(pid, 'SIGKILL');
  t.equal((await exited)[0], 1);
  t.ok(daemon.log.some(({ level, msg }) => level === 'fatal' && /no worker stays alive/.test(String(msg))));
  t.ok(
    daemon.log.some(({ msg }) => /a worker cannot start: .*ENOTDIR|EEXIST/.test(String(msg))),
    'and says why',
  );
});

/** Connections to a port of this machine, and how many of them the kernel keeps for want of a process that accepts them. */
async function connectionsTo(port: number): Promise<{ open: number; unaccepted: number }> {
  const rows = (await readFile('/proc/net/tcp', 'utf8')).trim().split('\n').slice(1);
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const mine = rows.map((row) => row.trim().split(/\s+/)).filter(([, local]) => local?.endsWith(suffix));
  const queue = mine.find(([, , , state]) => state === '0A')?.[4];
  return {
    open: mine.filter(([, , , state]) => state === '01').length,
    unaccepted: Number.parseInt(queue?.split(':')[1] ?? '', 16),
  };
}

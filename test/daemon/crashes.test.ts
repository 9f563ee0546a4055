import { once } from 'node:events';
import t from 'tap';
import { install, isAlive, killAfter, spawnDaemon, startDaemon, until } from '../fixtures/daemon.js';
import { ask, askIdentity, instances } from '../fixtures/request.js';
import { TestWebSocket } from '../fixtures/websocket.js';

t.test('a container killed with -9 is replaced for the next request without an error', async (t) => {
  const { port } = await startDaemon(t, await install(t));
  const { pid } = await askIdentity(port, 'hello.localhost');
  process.kill(pid, 'SIGKILL');
  const next = await askIdentity(port, 'hello.localhost');
  t.not(next.pid, pid);
  process.kill(next.pid, 'SIGKILL');
  const looping = await until(async () => {
    const answer = await ask(port, 'hello.localhost');
    return answer.status === 200 ? undefined : answer;
  }).catch(() => undefined);
  t.match(looping, { status: 503, headers: { 'x-fastcontainer-error': 'boot_failed' } }, 'a crash loop backs off');
  await until(async () => (await ask(port, 'hello.localhost')).status === 200);
});

t.test('a container that dies in a request ends in upstream_reset, and the app is not stuck', async (t) => {
  const { port } = await startDaemon(t, await install(t));
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  const died = await ask(port, 'hello.localhost', '/die', { method: 'POST' });
  t.match(died, { status: 502, headers: { 'x-fastcontainer-error': 'upstream_reset' } });
  await until(async () => (await ask(port, 'hello.localhost')).status === 200);
});

t.test('a WebSocket whose container dies is closed', async (t) => {
  const { port } = await startDaemon(t, await install(t));
  const { pid } = await askIdentity(port, 'hello.localhost');
  const socket = await TestWebSocket.open(port, 'hello.localhost');
  process.kill(pid, 'SIGKILL');
  while (await socket.next());
  t.ok(socket.ended);
});

t.test('a dispatcher killed with -9 finds its containers again, uses them, and ends them when idle', async (t) => {
  const installation = await install(t, {}, { hello: { idleTtl: '20s' } });
  const first = await spawnDaemon(t, installation);
  const { pid, instance } = await askIdentity(first.port, 'hello.localhost');
  killAfter(t, pid);
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  t.ok(isAlive(pid), 'the container outlives its dispatcher');
  const second = await spawnDaemon(t, installation, '--stop-apps');
  t.match(await askIdentity(second.port, 'hello.localhost'), { pid, instance });
  t.equal((await instances(second.admin, 'hello')).length, 1);
  second.child.kill('SIGTERM');
  const [code] = (await once(second.child, 'exit')) as [number | null];
  t.equal(code, 0);
  t.notOk(isAlive(pid), '--stop-apps ended it');
});

t.test('a dispatcher killed in the middle of a boot leaves a claim that the next one cleans up', async (t) => {
  const installation = await install(t, {}, { hello: { env: { BOOT_DELAY_MS: '1500' } } });
  const first = await spawnDaemon(t, installation);
  const lost = ask(first.port, 'hello.localhost').catch(() => undefined);
  await until(() => first.log.find(({ msg }) => msg === 'booting'));
  first.child.kill('SIGKILL');
  await lost;
  const second = await spawnDaemon(t, installation, '--stop-apps');
  const answer = await ask(second.port, 'hello.localhost');
  t.equal(answer.status, 200, `${answer.body} ${JSON.stringify(second.log)}`);
  await until(async () => (await instances(second.admin, 'hello')).length === 1);
  second.child.kill('SIGTERM');
  await once(second.child, 'exit');
});

t.test('SIGTERM lets requests finish, leaves the containers running, and exits 0', async (t) => {
  const installation = await install(t);
  const { child, port } = await spawnDaemon(t, installation);
  const { pid } = await askIdentity(port, 'hello.localhost');
  killAfter(t, pid);
  const slow = ask(port, 'hello.localhost', '/slow?ms=1000');
  await until(async () => (await ask(port, 'hello.localhost')).status === 200);
  child.kill('SIGTERM');
  const exited = once(child, 'exit');
  t.match(await slow, { status: 200, body: 'slow' });
  t.same(await exited, [0, null]);
  t.ok(isAlive(pid));
});

import { once } from 'node:events';
import { resolve } from 'node:path';
import t from 'tap';
import { install, isAlive, quick, spawnDaemon, startDaemon, until } from '../fixtures/daemon.js';
import { appUser, needsUsers, startImpostor } from '../fixtures/impostor.js';
import { sendRaw } from '../fixtures/raw.js';
import { ask as askOf, instances } from '../fixtures/request.js';

const gap = { command: [process.execPath, resolve('test/fixtures/apps/gap.mjs')], user: appUser };

async function portOf(admin: string): Promise<number> {
  const [instance] = await instances(admin, 'gap');
  return Number(instance?.address?.split(':')[1]);
}

t.test('a program that takes the port of an app which closed it is sent nothing', { skip: needsUsers }, async (t) => {
  const running = await startDaemon(t, await install(t, {}, { gap }));
  const ask = (path = '/') => askOf(running.port, 'gap.localhost', path);
  const pid = Number((await ask()).body);
  const port = await portOf(running.admin);
  const impostor = startImpostor(t, port);
  await ask('/gap');
  await impostor.holds;
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask()));
  t.same(new Set(answers.map(({ status }) => status)), new Set([502]));
  const upgrade = 'GET / HTTP/1.1\r\nHost: gap.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  t.match(await sendRaw(running.port, upgrade), /^HTTP\/1\.1 502 /);
  t.same(impostor.got, []);
  const told = running.log.filter(({ msg }) => String(msg).startsWith('another program listens on the port'));
  t.match(told, [{ app: 'gap', port, uid: 31_001, others: [{ address: '127.0.0.1', uid: 31_002 }] }]);
  t.equal(told.length, 1, 'it is said once');

  await impostor.end();
  process.kill(pid, 'SIGUSR2');
  const back = await until(async () => {
    const answer = await ask();
    return answer.status === 200 ? answer : undefined;
  });
  t.equal(back.body, String(pid), 'the app has its port back, and is the same');
});

t.test('a program that takes the port while a connection is made gets no request', { skip: needsUsers }, async (t) => {
  const running = await startDaemon(t, await install(t, {}, { gap }));
  const ask = (path = '/') => askOf(running.port, 'gap.localhost', path);
  const pid = Number((await ask()).body);
  const port = await portOf(running.admin);
  for (let round = 0; round < 5; round += 1) {
    const impostor = startImpostor(t, port);
    const rushing = Array.from({ length: 10 }, () => ask());
    const closing = ask('/gap');
    rushing.push(...Array.from({ length: 10 }, () => ask()));
    await Promise.all([closing, impostor.holds]);
    const answers = await Promise.all(rushing);
    t.notOk(answers.some(({ body }) => body === 'stolen'));
    t.same(impostor.got, []);
    await impostor.end();
    process.kill(pid, 'SIGUSR2');
    await until(async () => ((await ask()).status === 200 ? true : undefined));
  }
});

t.test('a program that takes the port of an adopted app that died is sent nothing', { skip: needsUsers }, async (t) => {
  const installation = await install(t, {}, { gap });
  const first = await spawnDaemon(t, installation);
  const ask = (port: number) => askOf(port, 'gap.localhost');
  const pid = Number((await ask(first.port)).body);
  const taken = await portOf(first.admin);
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  const running = await startDaemon(t, installation, quick);
  t.equal((await ask(running.port)).body, String(pid), 'it was adopted');
  const impostor = startImpostor(t, taken);
  process.kill(pid, 'SIGKILL');
  await impostor.holds;
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(running.port)));
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]), 'another instance serves them');
  t.notOk(answers.some(({ body }) => body === 'stolen'));
  t.same(impostor.got, []);
  t.notOk(isAlive(pid));
});

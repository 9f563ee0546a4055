import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { ask, instances } from '../fixtures/request.js';

/** Answers at once, says how long it works on, and notes in a file when it has. */
const program = `
  require('node:http').createServer((req, res) => {
    const { searchParams } = new URL(req.url, 'http://app');
    res.setHeader('X-FastContainer-Busy', searchParams.get('busy')).end('begun');
    setTimeout(() => require('node:fs').writeFileSync(process.env.DONE, 'done'), Number(searchParams.get('ms')));
  }).listen(Number(process.env.PORT), process.env.HOST);`;

async function start(t: Test, app: Record<string, unknown>) {
  const installation = await install(t);
  const done = join(installation.dir, 'done');
  const command = [process.execPath, '-e', program];
  await installation.writeApp('hello', { command, user: 'root', idleTtl: '1s', env: { DONE: done }, ...app });
  const isDone = () => readFile(done, 'utf8').then(Boolean, () => undefined);
  return { ...(await startDaemon(t, installation)), isDone };
}

t.test('an app that says it is busy finishes its work after the answer, and then sleeps', async (t) => {
  const { port, admin, isDone } = await start(t, {});
  const answer = await ask(port, 'hello.localhost', '/?busy=8s&ms=3000');
  t.match(answer, { status: 200, body: 'begun' });
  t.notOk(Object.keys(answer.headers).some((name) => name.startsWith('x-fastcontainer')));
  await until(async () => (await isDone()) || (await instances(admin, 'hello')).length === 0 || undefined);
  t.ok(await isDone());
  await until(async () => (await instances(admin, 'hello')).length === 0);
});

for (const [name, app, busy] of [
  ['longer than it may', { maxBusy: '1s' }, '24h'],
  ['though it may not', { maxBusy: '0s' }, '24h'],
  ['in no known way', {}, 'for ever'],
  ['without end', { maxBusy: '1s' }, '9'.repeat(4_000) + 'd'],
  ['beyond its lifetime', { maxLifetime: '2s' }, '5m'],
] as const) {
  t.test(`an app that says it is busy ${name} sleeps all the same`, async (t) => {
    const { port, admin, isDone } = await start(t, app);
    t.equal((await ask(port, 'hello.localhost', `/?busy=${encodeURIComponent(busy)}&ms=600000`)).status, 200);
    await until(async () => (await instances(admin, 'hello')).length === 0);
    t.notOk(await isDone());
  });
}

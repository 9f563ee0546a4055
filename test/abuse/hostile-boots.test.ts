import { fetchAdmin } from '../fixtures/admin.js';
import { connect } from 'node:net';
import { resolve } from 'node:path';
import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { ask, instances } from '../fixtures/request.js';

const closesAtOnce = [process.execPath, resolve('test/fixtures/apps/closes-at-once.mjs')];

t.test('an app that accepts connections and closes them is answered for, and holds nobody up', async (t) => {
  const spec = { command: closesAtOnce, bootTimeout: '1500ms', idleTtl: '500ms' };
  const { port, admin } = await startDaemon(t, await install(t, {}, { shut: spec, hello: {} }));
  const { status, headers } = await ask(port, 'shut.localhost');
  // On a machine that is busy it may close later than readiness looks; then its clients are told that it broke off.
  const code = String(headers['x-fastcontainer-error']);
  t.ok(
    (status === 504 && code === 'boot_timeout') || (status === 502 && code === 'upstream_reset'),
    `${status} ${code}`,
  );
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  await until(async () => (await instances(admin, 'shut')).length === 0);
});

t.test('an app that answers its readiness check with what is not HTTP is never taken for ready', async (t) => {
  const says = [
    'SSH-2.0-x\r\n',
    'HTTP/1.1 200',
    'HTTP/1.1 500 No\r\n\r\n',
    `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(50_000)}\r\n\r\n`,
  ];
  const apps = Object.fromEntries(
    says.map((SAYS, index) => [
      `odd${index}`,
      { command: closesAtOnce, env: { SAYS }, readiness: { http: '/' }, bootTimeout: '1500ms' },
    ]),
  );
  const { port, admin } = await startDaemon(t, await install(t, {}, apps));
  const answers = await Promise.all(Object.keys(apps).map((app) => ask(port, `${app}.localhost`)));
  t.same(
    answers.map(({ headers }) => headers['x-fastcontainer-error']),
    answers.map(() => 'boot_timeout'),
  );
  await until(
    async () =>
      (await fetchAdmin(`${admin}/v1/instances`).then((res) => res.json() as Promise<unknown[]>)).length === 0,
  );
});

t.test(
  'an app that ends at once is booted at the pace of its breaker, whatever the load, and slows no other app',
  async (t) => {
    const installation = await install(t, {}, { broken: { env: { EXIT_AT_BOOT: 'always' } }, hello: {} });
    const { port, log } = await startDaemon(t, installation);
    const bootTimes = () =>
      log.filter(({ msg, app }) => msg === 'booting' && app === 'broken').map(({ time }) => Number(time));
    const failures = () => log.filter(({ msg, app }) => msg === 'the boot failed' && app === 'broken').length;
    const seen = { broken: new Map<string, number>(), hello: new Map<string, number>() };
    const stop = new AbortController();
    const client = async (app: 'broken' | 'hello') => {
      while (!stop.signal.aborted) {
        const { status, headers } = await ask(port, `${app}.localhost`);
        const what = `${status} ${String(headers['x-fastcontainer-error'] ?? '')}`.trim();
        seen[app].set(what, (seen[app].get(what) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const clients = [
      ...Array.from({ length: 20 }, () => client('broken')),
      ...Array.from({ length: 4 }, () => client('hello')),
    ];
    await until(() => failures() >= 4);
    stop.abort();
    await Promise.all(clients);
    t.same([...seen.broken.keys()], ['503 boot_failed']);
    t.same([...seen.hello.keys()], ['200']);
    t.ok((seen.hello.get('200') ?? 0) > 20);
    const pauses = bootTimes()
      .map((at, index, all) => at - (all[index - 1] ?? at))
      .slice(1);
    for (const [index, pauseMs] of pauses.entries()) {
      const leastMs = 1_000 * 2 ** index;
      t.ok(pauseMs >= leastMs - 5, `boot ${index + 2} came ${pauseMs} ms after the one before; at least ${leastMs}`);
    }
  },
);

t.test("a request that waits behind others' boots, and whose predecessor has gone, is served", async (t) => {
  // One boot at a time: the second app's first request waits for the permit, goes, and leaves the work to the next one.
  const installation = await install(
    t,
    { boot: { concurrency: 1 } },
    { slow: { env: { BOOT_DELAY_MS: '1500' } }, hello: { queue: { timeout: '30s' } } },
  );
  const { port, log } = await startDaemon(t, installation);
  const slow = ask(port, 'slow.localhost');
  await until(() => log.find(({ msg, app }) => msg === 'booting' && app === 'slow'));
  for (let round = 0; round < 3; round += 1) {
    const gone = connect(port, '127.0.0.1');
    gone.write('GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n');
    await new Promise((resolve) => setTimeout(resolve, 100));
    gone.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  t.equal((await slow).status, 200);
});

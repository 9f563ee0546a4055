import t from 'tap';
import { callApi } from '../fixtures/api.js';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { ask, askIdentity } from '../fixtures/request.js';

interface Row {
  readonly app: string;
  readonly runningSeconds: number;
  readonly boots: Readonly<Record<string, number>>;
}

t.test('what an app ran is told while it runs, and stays when it has ended', async (t) => {
  const { admin, port } = await startDaemon(t, await install(t));
  // All days at once, as the test may run at midnight.
  const usage = async () => {
    const [from, to] = [-1, 1].map((days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10));
    const rows = (await callApi(admin, 'GET', `/v1/usage?from=${from}&to=${to}`)).body as unknown as Row[];
    const sum = (number: (row: Row) => number) => rows.reduce((all, row) => all + number(row), 0);
    return { rows, ran: sum(({ runningSeconds }) => runningSeconds), boots: sum(({ boots }) => boots['request'] ?? 0) };
  };
  t.same((await usage()).rows, []);
  const from = Date.now();
  const { pid, instance } = await askIdentity(port, 'hello.localhost');
  const early = await usage();
  await until(async () => (await usage()).ran > early.ran || undefined);
  t.match(early.rows, [{ app: 'hello', boots: { request: 1 } }]);
  process.kill(pid, 'SIGKILL');
  await until(
    async () => !JSON.stringify((await callApi(admin, 'GET', '/v1/instances')).body).includes(instance) || undefined,
  );
  const most = (Date.now() - from) / 1_000;
  const { ran, boots } = await usage();
  t.ok(ran > early.ran && ran <= most, `${ran} of ${most} s`);
  t.equal(boots, 1);
  t.equal((await usage()).ran, ran, 'nothing runs now');
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  t.match((await callApi(admin, 'POST', '/v1/apps/hello/stop')).status, 200);
  const after = await usage();
  t.ok(after.ran > ran);
  t.equal(after.boots, 2);
});

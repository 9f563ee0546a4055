import t from 'tap';
import { fetchAdmin } from '../fixtures/admin.js';
import { install, spawnDaemon, startDaemon, until } from '../fixtures/daemon.js';
import { startRedis } from '../fixtures/redis.js';
import { ask } from '../fixtures/request.js';
import { mainScript, run } from './run.js';

const common = 'the-key-that-all-machines-have-in-common';

t.test('check and start refuse to share a Redis that another key has signed, and say what to do', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = { url: redis.url, name: 'shared' };
  const check = async (file: string) => run([mainScript, 'check', '--config', file]);
  const first = await install(t, { cmdb: { ...cmdb, signingKey: common } });
  t.equal((await check(first.file)).code, 0, 'nobody has signed there yet');
  const { port } = await startDaemon(t, first);
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  const alike = await install(t, { cmdb: { ...cmdb, signingKey: common } }, { hello: {} });
  t.equal((await check(alike.file)).code, 0, 'the same key');
  const why = /signed with another key .*the same cmdb\.signingKey.*\{shared\}:signing-key/;
  for (const signingKey of ['a-key-that-somebody-made-up-for-this-one', undefined]) {
    const mine = { ...cmdb, ...(signingKey !== undefined && { signingKey }) };
    const other = await install(t, { cmdb: { signingKey: undefined, ...mine } }, { mine: {} });
    const { code, stderr } = await check(other.file);
    t.equal(code, 1, stderr);
    t.match(stderr, why, signingKey === undefined ? 'a key of its own, to be made' : 'a key that was written');
    const spawned = await spawnDaemon(t, other);
    const told = await until(() => spawned.log.find((entry) => why.test(JSON.stringify(entry))));
    t.equal(told['level'], 'warn', 'in the log');
    t.equal((await fetchAdmin(`${spawned.admin}/readyz`)).status, 503);
    t.equal((await fetchAdmin(`${spawned.admin}/healthz`)).status, 200);
    t.equal((await ask(spawned.port, 'mine.localhost')).status, 503);
    t.equal((await ask(port, 'hello.localhost')).status, 200, 'the others go on');
    t.equal((await ask(port, 'mine.localhost')).status, 404, 'and nothing was written');
    spawned.child.kill('SIGKILL');
  }
});

import { once } from 'node:events';
import t from 'tap';
import { install, spawnDaemon } from '../fixtures/daemon.js';

t.test('a store that is away at the start is one line, which says what to do', async (t) => {
  // Nothing listens on port 1.
  const installation = await install(t, { cmdb: { url: 'redis://127.0.0.1:1', name: 'away' } });
  const { child, log } = await spawnDaemon(t, installation);
  const told = log.filter(
    ({ level, msg, err }) => level !== 'info' && /CMDB|Redis|apps/.test(`${String(msg)} ${String(err)}`),
  );
  t.match(told, [
    { msg: /^cmdb: Redis is used without a password/ },
    {
      level: 'warn',
      msg: /^the CMDB cannot be reached: connect ECONNREFUSED 127\.0\.0\.1:1; start it, or correct cmdb; /,
    },
  ]);
  t.equal(told.length, 2);
  t.notOk(
    log.some(({ err }) => (err as { stack?: string } | undefined)?.stack),
    'no stack trace',
  );
  child.kill('SIGTERM');
  await once(child, 'exit');
});

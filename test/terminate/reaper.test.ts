import { pino } from 'pino';
import t from 'tap';
import type { AppRecord } from '../../src/cmdb/cmdb.js';
import { emptyDeployment } from '../../src/model/deployment.js';
import { Reaper, type ReaperOptions } from '../../src/terminate/reaper.js';
import { testApp } from '../fixtures/app.js';
import { settle, VirtualClock } from '../fixtures/clock.js';

t.test('a look that is under way ends before the reaper has stopped, and none begins after', async (t) => {
  const record: AppRecord = { app: testApp(), removed: false, deployment: emptyDeployment('shop'), version: 'v' };
  const answers: (() => void)[] = [];
  const find = () => new Promise((resolve) => answers.push(() => resolve(record)));
  const reaper = new Reaper({
    ...{ cmdb: { find }, apps: { onRecord: () => {} }, peers: { mayJudge: true }, store: { isComplete: true } },
    ...{ silentHosts: { remove: async () => {} }, sight: { host: 'here' }, clock: new VirtualClock() },
    logger: pino({ level: 'silent' }),
  } as unknown as ReaperOptions);
  void reaper.look('shop');
  let hasStopped = false;
  const stopped = reaper.stop().then(() => (hasStopped = true));
  await settle();
  t.notOk(hasStopped);
  await reaper.look('shop');
  t.equal(answers.length, 1);
  answers[0]?.();
  await stopped;
  t.pass('it stops');
});

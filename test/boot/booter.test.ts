import { pino } from 'pino';
import t from 'tap';
import { Booter, type BooterOptions } from '../../src/boot/booter.js';
import type { Cmdb } from '../../src/cmdb/cmdb.js';
import { RequestError } from '../../src/model/errors.js';
import { LocalApps } from '../../src/uses/local-apps.js';
import { testApp } from '../fixtures/app.js';
import { settle, VirtualClock } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

t.test('a booter that has stopped leaves no timer behind, whatever its boots come to', async (t) => {
  const clock = new VirtualClock();
  const record = { app: testApp(), removed: false, deployment: testDeployment(), version: 'v' };
  const apps = new LocalApps({ find: async () => record } as unknown as Cmdb);
  const fails: ((error: Error) => void)[] = [];
  const boot = () => new Promise((_resolve, reject) => fails.push(reject));
  const booter = new Booter({
    ...{ apps, uses: {}, clock, procedure: { boot }, boots: {}, hosts: { of: () => undefined } },
    ...{ session: { incarnation: 'me', renewIfFrozen: () => true }, logger: pino({ level: 'silent' }) },
    ...{ isComplete: () => true, maxWaiting: 10, onQueue: () => {} },
  } as unknown as BooterOptions);
  const seat = async () => booter.seat(apps.of(record), new AbortController().signal);
  const first = seat();
  fails[0]?.(new Error('no claim'));
  await t.rejects(first, { code: 'internal_error' });
  const second = seat();
  await settle();
  t.ok(clock.pending > 0, 'no boot begins for a while');
  const stopped = booter.stop(new RequestError('shutting_down'));
  for (const fail of fails) fail(new Error('given up'));
  await t.rejects(second, { code: 'shutting_down' });
  await stopped;
  t.equal(clock.pending, 0);
});

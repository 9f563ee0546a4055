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

t.test(
  'requests that may not wake the app are refused if it falls asleep while they wait; others have it booted',
  async (t) => {
    const clock = new VirtualClock();
    const app = testApp();
    let record = {
      app,
      removed: false,
      deployment: testDeployment({ state: 'booting', owner: 'other' }),
      version: 'v1',
    };
    const apps = new LocalApps({ find: async () => record } as unknown as Cmdb);
    let boots = 0;
    const boot = () => new Promise(() => (boots += 1));
    const booter = new Booter({
      ...{ apps, uses: {}, clock, procedure: { boot }, boots: {}, hosts: { of: () => undefined } },
      ...{ session: { incarnation: 'me', renewIfFrozen: () => true }, logger: pino({ level: 'silent' }) },
      ...{ isComplete: () => true, maxWaiting: 10, onQueue: () => {} },
    } as unknown as BooterOptions);
    const verdict = { rule: 'bots', wakes: false, counts: false, asleep: { status: 503, retryAfterS: 60 } };
    const local = apps.of(record);
    const gone = new AbortController();
    const bots = [1, 2].map(async () => booter.seat(local, new AbortController().signal, { client: 'bot', verdict }));
    const person = booter.seat(local, gone.signal, { client: 'person' });
    t.match(local, { waiting: 3, waitingUncounted: 2 });
    await settle();
    t.equal(boots, 0, 'another node boots it');
    record = { ...record, deployment: testDeployment(), version: 'v2' };
    await apps.refresh(app.name);
    for (const bot of bots) await t.rejects(bot, { code: 'wake_denied', retryAfterS: 60 });
    await settle();
    t.equal(boots, 1);
    t.match(local, { waiting: 1, waitingUncounted: 0 });
    gone.abort(new Error('gone'));
    await t.rejects(person, { message: 'gone' });
  },
);

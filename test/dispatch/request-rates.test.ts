import t from 'tap';
import type { RequestError } from '../../src/model/errors.js';
import { RequestRates } from '../../src/dispatch/request-rates.js';
import { testApp } from '../fixtures/app.js';
import { VirtualClock } from '../fixtures/clock.js';

function setUp(requests: { perClient?: string; perApp?: string }, parts = 1) {
  const clock = new VirtualClock();
  const rates = new RequestRates({ clock, parts });
  const ask = (client: string | undefined, name = 'shop') => {
    try {
      rates.spend({ ...testApp({ name }), requests }, { client });
      return 'in';
    } catch (error) {
      const { code, retryAfterS, cause } = error as RequestError;
      return `${code} ${retryAfterS} ${String(cause)}`;
    }
  };
  return { clock, ask };
}

t.test('a client has its rate at each app, and what is refused takes nothing of that of the app', async (t) => {
  const { ask, clock } = setUp({ perClient: '2/m', perApp: '4/m' });
  const tooMany = 'too_many_requests 30 requests per client';
  t.same([ask('a'), ask('a'), ask('a'), ask('a')], ['in', 'in', tooMany, tooMany]);
  t.equal(ask('a', 'other'), 'in');
  t.same([ask('b'), ask('c'), ask('d')], ['in', 'in', 'too_many_requests 15 requests per app']);
  await clock.advance(15_000);
  t.equal(ask('d'), 'in');
});

t.test('clients that a proxy does not name share only the rate of the app', async (t) => {
  const { ask } = setUp({ perClient: '1/h', perApp: '3/h' });
  t.same(
    Array.from({ length: 4 }, () => ask(undefined)),
    ['in', 'in', 'in', 'too_many_requests 1200 requests per app'],
  );
});

t.test('each of several processes has its part, and an app without rates is never refused', async (t) => {
  const { ask } = setUp({ perApp: '4/m' }, 2);
  t.same([ask('a'), ask('a'), ask('a')], ['in', 'in', 'too_many_requests 30 requests per app']);
  const free = setUp({});
  for (let count = 0; count < 100; count += 1) t.equal(free.ask('a'), 'in');
});

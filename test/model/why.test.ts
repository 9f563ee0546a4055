import t from 'tap';
import type { LedgerEvent } from '../../src/model/ledger/event.js';
import { type Activity, whyOf, type WhySource } from '../../src/model/why.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const now = 100_000;
const app = testApp({ name: 'shop', idleTtlMs: 60_000 });
const nothing = testDeployment();
const used = testDeployment({ readyAt: 50_000, lastActiveAt: 50_000, users: { me: { since: 50_000 } } });
const request = { host: 'shop.example', method: 'GET', path: '/cart', agent: 'bot', client: '192.0.2.0/24' } as const;
const woken: LedgerEvent = { id: '1', at: 50_000, app: 'shop', kind: 'booting', instance: 'shop-1', request };
const ended: LedgerEvent = { id: '2', at: 90_000, app: 'shop', kind: 'ended', instance: 'shop-1', cause: 'idle' };
const exited: LedgerEvent = {
  ...{ id: '3', at: 91_000, app: 'shop', kind: 'exited', instance: 'shop-1', message: 'exit code 1' },
  output: 'no database\n',
};
const breaker = { failures: 3, retryAt: 104_000, code: 'boot_failed', message: 'exit code 1' } as const;
const order = { ...app.maintenance, mode: 'page', by: 'panel', since: 80_000 } as const;

function busy(more: Partial<Activity> = {}): WhySource['activity'] {
  return new Map([['shop-1', { inflight: 0, counting: 0, users: 1, lastActiveAt: 95_000, ...more }]]);
}

/** By what is so: what differs from an app that is used here, and what is said of it. */
const rows: Readonly<
  Record<string, readonly [Partial<WhySource>, string | RegExp, Partial<ReturnType<typeof whyOf>>]>
> = {
  'requests are under way': [
    { activity: busy({ inflight: 3, counting: 2 }), events: [woken] },
    'App shop is awake since 1970-01-01T00:00:50Z; GET shop.example/cart by a bot in 192.0.2.0/24 woke it; 2 requests are under way; 1 open connection keeps it awake while data flows on them.',
    { keptBy: ['requests', 'connections'], wokenBy: request },
  ],
  'only a connection is open': [
    { activity: busy({ inflight: 1 }) },
    /1 open connection keeps it awake.*; it falls asleep at 1970-01-01T00:02:35Z if nothing happens until then\.$/,
    { keptBy: ['connections'], sleepsAt: 155_000 },
  ],
  'nothing has happened for a while': [
    { activity: busy() },
    /the last activity was at 1970-01-01T00:01:35Z, and idleTtl is not over; it falls asleep at 1970-01-01T00:02:35Z/,
    { keptBy: ['idle_ttl'], sleepsAt: 155_000 },
  ],
  'the app has said that it works on': [
    { activity: busy({ lastActiveAt: 130_000 }) },
    /works on until 1970-01-01T00:02:10Z; it falls asleep at 1970-01-01T00:03:10Z/,
    { keptBy: ['busy'], sleepsAt: 190_000 },
  ],
  'it is paused': [
    { deployment: testDeployment({ state: 'paused', lastActiveAt: 70_000 }) },
    'App shop is paused: the last activity was at 1970-01-01T00:01:10Z; the next request resumes it; it ends at 1970-01-01T00:02:10Z if nothing happens until then.',
    { keptBy: [], sleepsAt: 130_000 },
  ],
  'no dispatcher uses it': [
    { deployment: testDeployment({ lastActiveAt: 70_000 }) },
    /the last activity was at 1970-01-01T00:01:10Z.*falls asleep at 1970-01-01T00:02:10Z/,
    { keptBy: ['idle_ttl'], sleepsAt: 130_000 },
  ],
  'its idleTtl is over': [
    { deployment: testDeployment({ lastActiveAt: 10_000 }) },
    'App shop is awake since 1970-01-01T00:00:00Z; it falls asleep at 1970-01-01T00:01:10Z if nothing happens until then.',
    { keptBy: [], sleepsAt: 70_000 },
  ],
  'dispatchers of other machines use it': [{}, /dispatchers of other machines use it\.$/, { keptBy: ['other_nodes'] }],
  'scale.min keeps it': [
    { app: { ...app, scale: { min: 1, max: 1 } }, activity: busy() },
    /scale\.min: 1 keeps it awake\.$/,
    { keptBy: ['minimum'] },
  ],
  'an operator woke it': [
    {
      deployment: testDeployment({ cause: 'operator', users: {}, lastActiveAt: now }),
      events: [{ ...woken, request: undefined as never, by: 'panel' }],
    },
    /the token panel woke it/,
    { sleepsAt: 160_000 },
  ],
  'it boots': [
    {
      deployment: testDeployment({ state: 'booting', cause: 'request', bootedAt: 99_000, deadlineAt: 160_000 }),
      events: [woken],
    },
    'App shop boots since 1970-01-01T00:01:39Z; GET shop.example/cart by a bot in 192.0.2.0/24 woke it; it is given up at 1970-01-01T00:02:40Z.',
    { wokenBy: request },
  ],
  'it falls asleep': [
    { deployment: testDeployment({ state: 'draining', end: { reason: 'memory', since: 99_000 } }) },
    'App shop falls asleep since 1970-01-01T00:01:39Z: the machine needed its memory; 1 instance ends.',
    {},
  ],
  'it sleeps': [
    { deployment: nothing, events: [woken, ended] },
    'App shop is asleep since 1970-01-01T00:01:30Z: nobody used it for its idleTtl; the next request wakes it.',
    { keptBy: [] },
  ],
  'it has never run': [{ deployment: nothing }, /has not run for as long as the ledger reaches back; the next/, {}],
  'its wake rules deny some': [
    {
      app: testApp({ name: 'shop', wake: { ...app.wake, rules: ['bots', { name: 'mine', paths: ['/x'] } as never] } }),
      deployment: nothing,
    },
    /the next request wakes it, unless its wake rules deny that \(bots, mine\)\.$/,
    {},
  ],
  'it died': [
    { deployment: nothing, events: [woken, exited] },
    /asleep since 1970-01-01T00:01:31Z: it ended by itself \(exit code 1\); the next request wakes it/,
    { failure: { at: 91_000, message: 'exit code 1', output: 'no database\n' } },
  ],
  'it does not boot': [
    { deployment: { ...nothing, breaker }, events: [{ ...exited, kind: 'failed' }] },
    'App shop does not boot: exit code 1 (3 times in a row); requests are refused until 1970-01-01T00:01:44Z, then the next one tries again.',
    { failure: { at: 91_000, message: 'exit code 1', output: 'no database\n' } },
  ],
  'it died soon after it was ready': [
    { deployment: { ...nothing, breaker: { ...breaker, failures: 1, retryAt: 0 } }, events: [woken, exited] },
    'App shop ended by itself soon after it was ready: exit code 1; the next request tries again.',
    { failure: { at: 91_000, message: 'exit code 1', output: 'no database\n' } },
  ],
  'its back-off is over': [
    { deployment: { ...nothing, breaker: { ...breaker, failures: 1, retryAt: 0 } } },
    'App shop does not boot: exit code 1; the next request tries again.',
    {},
  ],
  'maintenance is ordered': [
    { deployment: { ...nothing, maintenance: order }, events: [ended] },
    /nobody used it.*; maintenance answers in its place, and no request wakes it, ordered by panel at 1970-01-01T00:01:20Z\.$/,
    {},
  ],
  'scale.min will boot it': [
    { app: { ...app, scale: { min: 1, max: 1 } }, deployment: nothing },
    /scale\.min: 1 boots it now\.$/,
    {},
  ],
  'it is removed': [{ removed: true }, 'App shop is removed: 1 instance ends.', {}],
};

for (const [what, [more, sentence, expected]] of Object.entries(rows)) {
  t.test(`why says what is so when ${what}`, async (t) => {
    const why = whyOf({ app, removed: false, deployment: used, activity: new Map(), events: [], now, ...more });
    if (typeof sentence === 'string') t.equal(why.sentence, sentence);
    else t.match(why.sentence, sentence);
    t.match(why, expected);
    t.equal(why.sleepsAt, expected.sleepsAt);
  });
}

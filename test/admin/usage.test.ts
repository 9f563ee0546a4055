import t, { type Test } from 'tap';
import type { AppUsage, UsageQuery } from '../../src/cmdb/cmdb.js';
import { hashOf } from '../../src/admin/credentials.js';
import { csvLine, usageViews } from '../../src/admin/usage-view.js';
import { adminRecord, cmdbOf, startAdmin } from '../fixtures/admin-server.js';
import { callApi } from '../fixtures/api.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const now = Date.parse('2026-11-30T12:00:00Z');
const [yesterday, today] = ['2026-11-29', '2026-11-30'];
const hour = 3_600_000;

function row(runningMs: number, labels: Record<string, string> = {}) {
  return { labels, counts: { runningMs, 'boots.request': 2 } };
}

function record(labels: Record<string, string>, startedAt: number) {
  return { ...adminRecord, app: testApp({ labels }), deployment: testDeployment({ startedAt }) };
}

function used(app: string, more: Partial<AppUsage> = {}): AppUsage {
  return { app, record: undefined, days: new Map(), ...more };
}

/** An admin side over a store with this usage. */
async function start(t: Test, stored: readonly AppUsage[]) {
  const asked: UsageQuery[] = [];
  const tokens = [
    { name: 'all', scope: 'read' as const, hash: hashOf('all'), labels: {}, images: [] },
    { name: 'reseller', scope: 'read' as const, hash: hashOf('reseller'), labels: { of: 'r1' }, images: [] },
  ];
  const cmdb = {
    ...cmdbOf(adminRecord),
    async *usage(query: UsageQuery) {
      asked.push(query);
      yield* stored.filter(({ app }) => app > (query.after ?? ''));
    },
  };
  const clock = { now: () => now, monotonic: () => 0, after: () => ({ cancel() {} }) };
  const { address } = await startAdmin(t, { cmdb, clock, tokens: () => tokens });
  const get = (query: string, token = 'all', accept = 'application/json') =>
    callApi(`http://${address}`, 'GET', `/v1/usage${query}`, { token, headers: { accept } });
  return { get, asked };
}

t.test('what still runs is counted with what was stored, at the moment of the question', async (t) => {
  const { get } = await start(t, [
    used('shop', {
      record: record({ of: 'r1' }, now - 13 * hour),
      days: new Map([[today, row(hour, { of: 'r0' })]]),
    }),
  ]);
  t.same((await get(`?from=${yesterday}`)).body, [
    { app: 'shop', day: yesterday, labels: { of: 'r1' }, runningSeconds: 3_600, boots: {} },
    { app: 'shop', day: today, labels: { of: 'r1' }, runningSeconds: 13 * 3_600, boots: { request: 2 } },
  ]);
  t.match((await get('')).body, [{ day: today }], 'today, if nothing is said');
});

t.test('a token with labels and a filter see the days on which the app had them', async (t) => {
  const days = new Map([
    [yesterday, row(1, { of: 'r1', plan: 'small' })],
    [today, row(2, { of: 'r2' })],
  ]);
  const { get } = await start(t, [used('gone', { days })]);
  const rows = async (query: string, token?: string) =>
    ((await get(query, token)).body as unknown as { day: string }[]).map(({ day }) => day);
  t.same(await rows(`?from=${yesterday}`), [yesterday, today]);
  t.same(await rows(`?from=${yesterday}`, 'reseller'), [yesterday]);
  t.same(await rows(`?from=${yesterday}&label=of=r2`), [today]);
  t.same(await rows(`?from=${yesterday}&label=plan&label=of`), [yesterday]);
  t.same(await rows(`?from=${yesterday}&label=of=r2`, 'reseller'), []);
});

t.test('usage comes as CSV by Accept or by format, with the same rows', async (t) => {
  const labels = { of: 'r1', note: 'a "b", c' };
  const { get } = await start(t, [used('shop', { days: new Map([[today, row(1_500, labels)]]) })]);
  const expected = `app,day,labels,runningSeconds,boots\r\nshop,${today},"of=r1;note=a ""b"", c",1.5,request=2\r\n`;
  for (const reply of [await get('', 'all', 'text/csv'), await get('?format=csv')]) {
    t.match(reply.headers['content-type'], /^text\/csv/);
    t.equal(reply.text, expected);
  }
  t.match((await get('?format=json', 'all', 'text/csv')).headers['content-type'], /json/);
});

t.test('a page ends with a whole app, and leads on for the same days', async (t) => {
  const days = new Map([[today, row(1)]]);
  const { get, asked } = await start(
    t,
    ['a', 'b', 'c'].map((app) => used(app, { days })),
  );
  const first = await get('?limit=2&label=x');
  t.same(first.body, []);
  const page = await get('?limit=2');
  t.match(page.body, [{ app: 'a' }, { app: 'b' }]);
  const [, next = ''] = /^<\/v1\/usage(.*)>; rel="next"$/.exec(String(page.headers['link'])) ?? [];
  const last = await get(next);
  t.match(last.body, [{ app: 'c' }]);
  t.equal(last.headers['link'], undefined);
  t.match(asked.at(-1), { from: today, to: today, after: 'b' });
});

t.test('a page ends after so many apps that the caller may not see, and leads on', async (t) => {
  const names = Array.from({ length: 5_001 }, (_, index) => `a${String(index).padStart(4, '0')}`);
  const days = new Map([[today, row(1)]]);
  const { get } = await start(t, [
    ...names.map((app) => used(app, { days })),
    used('b', { days: new Map([[today, row(1, { of: 'r1' })]]) }),
  ]);
  const page = await get('', 'reseller');
  t.same(page.body, []);
  const [, next = ''] = /^<\/v1\/usage(.*)>; rel="next"$/.exec(String(page.headers['link'])) ?? [];
  t.match(next, /after=a4999/);
  const last = await get(next, 'reseller');
  t.match(last.body, [{ app: 'b' }]);
  t.equal(last.headers['link'], undefined);
});

t.test('days that are none, or too many, are refused', async (t) => {
  const { get } = await start(t, []);
  const wrong = ['from=2026-02-30', 'from=today', `from=${today}&to=${yesterday}`, 'from=2020-01-01', 'to=2026-13-01'];
  for (const query of wrong) t.match(await get(`?${query}`), { status: 400, body: { code: 'bad_request' } }, query);
  t.match(await get('?from=2026-12-24'), { status: 200, body: [] }, 'a day to come');
});

t.test('an app without usage has no row', async (t) => {
  t.same(usageViews(used('shop', { record: adminRecord }), yesterday, today, now), []);
  t.same(usageViews(used('shop', { record: record({}, now) }), yesterday, today, now), []);
  t.match(csvLine({ app: 'a', day: today, labels: {}, runningSeconds: 0, boots: {} }), /^a,2026-11-30,,0,\r\n$/);
});

t.test('a label cannot write another one into the CSV', async (t) => {
  const labels = { customer: 'c1', note: '50 %;customer=c2' };
  const line = csvLine({ app: 'a', day: today, labels, runningSeconds: 0, boots: {} });
  t.equal(line, `a,${today},customer=c1;note=50 %25%3Bcustomer%3Dc2,0,\r\n`);
});

import t from 'tap';
import { TokenBuckets } from '../../src/model/token-buckets.js';
import type { WakeRule } from '../../src/model/wake/wake-keys.js';
import { CompiledRules, type Subject } from '../../src/wake/compiled-rules.js';
import { testApp } from '../fixtures/app.js';
import { people, programs } from './user-agents.js';

const builtIn = ['scanners', 'monitors', 'bots', 'static'] as const;

function compiled(rules: readonly WakeRule[], asleep: object = {}, now: () => number = () => 0): CompiledRules {
  const { wake } = testApp();
  const whole = { ...wake, rules: [...rules], asleep: { ...wake.asleep, ...asleep } };
  return new CompiledRules(whole, { buckets: new TokenBuckets(100), now, parts: 1 });
}

function subject(said: Partial<Subject> = {}, headers: Readonly<Record<string, string>> = {}): Subject {
  const header = (name: string) => (headers[name] === undefined ? [] : [headers[name]]);
  return { app: 'shop', method: 'GET', path: '/', userAgent: '', client: '192.0.2.1', header, ...said };
}

t.test('programs that say who they are belong to their set, in whatever case they write it', async (t) => {
  const rules = compiled(['monitors', 'scanners', 'bots']);
  for (const [set, agents] of Object.entries(programs)) {
    for (const userAgent of agents) {
      const expected = { rule: set, wakes: false, counts: false };
      t.match(rules.judge(subject({ userAgent })), expected, userAgent);
      t.match(rules.judge(subject({ userAgent: userAgent.toUpperCase() })), expected);
    }
  }
});

t.test('nobody else does: browsers, apps, and libraries that apps use', async (t) => {
  const rules = compiled(builtIn);
  for (const userAgent of people)
    for (const path of ['/', '/shop/cart', '/api/v1/items', '/index.php', '/admin/login', '/images/env.png', '/git'])
      t.equal(rules.judge(subject({ userAgent, path })), undefined, `${path} ${userAgent}`);
});

t.test('scanners are told by their paths too, and static files by theirs', async (t) => {
  const rules = compiled(builtIn);
  for (const path of [
    '/wp-login.php',
    '/blog/wp-login.php',
    '/.env',
    '/api/.env.local',
    '/.git/config',
    '/xmlrpc.php',
    '/wp-admin/setup.php',
    '/phpmyadmin/index.php',
    '/cgi-bin/luci',
    '/actuator/health',
    '/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php',
  ])
    t.match(rules.judge(subject({ path })), { rule: 'scanners' }, path);
  for (const path of [
    '/robots.txt',
    '/favicon.ico',
    '/.well-known/security.txt',
    '/sitemap.xml',
    '/sitemap_index.xml',
    '/apple-touch-icon-120x120.png',
  ])
    t.match(rules.judge(subject({ path })), { rule: 'static' }, path);
  for (const path of ['/shellfish', '/actuators', '/wp-content/uploads/a.jpg', '/wp-json/oembed', '/jenkins/', '/vpn/'])
    t.equal(rules.judge(subject({ path })), undefined, `${path} is a page of somebody`);
});

t.test(
  'what proves a domain to an authority is let through by all sets, and by a rule only if it says so',
  async (t) => {
    const userAgent = "Mozilla/5.0 (compatible; Let's Encrypt validation server; +https://www.letsencrypt.org)";
    const challenge = subject({ path: '/.well-known/acme-challenge/x', userAgent });
    t.equal(compiled(builtIn).judge(challenge), undefined);
    t.match(compiled([{ path: '/.well-known/*' }]).judge(challenge), { wakes: false });
  },
);

t.test('rules with a rate do not share what they count, whatever their names', async (t) => {
  const rules = compiled([
    { set: 'bots', path: '/b/*', rate: '5/m' },
    { set: 'bots', path: '/c/*', rate: '100/d' },
  ]);
  const userAgent = programs.bots[0] as string;
  t.equal(rules.judge(subject({ path: '/c/1', userAgent })), undefined);
  t.equal(rules.judge(subject({ path: '/b/1', userAgent })), undefined);
});

t.test('the first rule that matches decides, and all that it says has to be so', async (t) => {
  const rules = compiled([
    { name: 'hooks', method: 'POST', path: ['/hook', '/hooks/*'], wakes: true, counts: true },
    { set: 'bots', path: '/feed', wakes: true },
    { name: 'office', network: ['10.0.0.0/8', '2001:db8::/48'], counts: true },
    { header: { 'Sec-Purpose': 'prefetch*', 'X-Any': '*' } },
    'bots',
  ]);
  const bot = programs.bots[0] as string;
  const judge = (said: Partial<Subject>, headers?: Record<string, string>) => rules.judge(subject(said, headers));
  t.match(judge({ method: 'POST', path: '/hooks/a/b' }), { rule: 'hooks', wakes: true, counts: true });
  t.equal(judge({ method: 'GET', path: '/hooks/a' }), undefined);
  t.match(judge({ path: '/feed', userAgent: bot }), { rule: 'bots', wakes: true, counts: false });
  t.equal(judge({ path: '/feed' }), undefined, 'a person');
  t.match(judge({ path: '/', userAgent: bot }), { rule: 'bots', wakes: false });
  t.match(judge({ client: '10.1.2.3', userAgent: bot }), { rule: 'office', wakes: false, counts: true });
  t.match(judge({ client: '2001:db8:0:7::/64' }), { rule: 'office' });
  t.equal(judge({ client: '2001:db8:1:7::/64' }), undefined);
  t.equal(judge({ client: undefined }), undefined, 'a client that is not known is in no network');
  t.match(judge({}, { 'sec-purpose': 'prefetch;prerender', 'x-any': '' }), { rule: 'rule-4' });
  t.equal(judge({}, { 'sec-purpose': 'prefetch' }), undefined);
  t.match(compiled([{}]).judge(subject()), { rule: 'rule-1', wakes: false }, 'a rule that asks for nothing is for all');
});

t.test('a rate concerns only what a client sends beyond it', async (t) => {
  let now = 0;
  const rules = compiled([{ name: 'greedy', path: '/api/*', rate: '2/m' }], {}, () => now);
  const judge = (client: string) => rules.judge(subject({ path: '/api/x', client }))?.rule;
  t.same([judge('a'), judge('a'), judge('a'), judge('b')], [undefined, undefined, 'greedy', undefined]);
  t.equal(rules.judge(subject({ client: 'a' })), undefined, 'other requests are not counted');
  now = 30_000;
  t.same([judge('a'), judge('a')], [undefined, 'greedy']);
});

t.test('the answer of a sleeping app is that of the rule, key by key before that of the app', async (t) => {
  const rules = compiled(['bots', { path: '/robots.txt', asleep: { status: 200, body: 'User-agent: *\n' } }], {
    status: 429,
    retryAfter: '1h',
    type: 'text/x',
  });
  t.same(rules.judge(subject({ userAgent: 'GPTBot/1.2' }))?.asleep, { status: 429, retryAfterS: 3_600 });
  t.same(rules.judge(subject({ path: '/robots.txt' }))?.asleep, {
    status: 200,
    retryAfterS: 3_600,
    body: { type: 'text/x', text: 'User-agent: *\n' },
  });
});

import t from 'tap';
import { loadFiles, problemsOf } from './files.js';

const app = (said: string) => `name: a\ndomains: a.localhost\nruntime: docker\nimage: a:1\n${said}`;
const wakeOf = async (main: string, said = '') => {
  const { apps, wake } = await loadFiles({ 'main.yaml': main, 'apps/a.yaml': app(said) });
  return { ...apps[0]?.wake, node: wake.budget };
};

t.test('the app says its rules, else its plan, else defaults, else the main file', async (t) => {
  const main = [
    'wake: { rules: [static], asleep: { retryAfter: 1h, body: main }, budget: { perApp: 9/h, total: 9/m, perClient: 8/m } }',
    'defaults: { wake: { asleep: { body: defaults } } }',
    'plans: { small: { wake: { rules: [bots], budget: { perApp: unlimited } } } }',
  ].join('\n');
  const node = { total: '9/m', perClient: '8/m' };
  const asleep = { status: 503, retryAfter: '1h', type: 'text/plain; charset=utf-8', body: 'defaults' };
  t.strictSame(await wakeOf(main), { rules: ['static'], asleep, budget: { perApp: '9/h' }, node });
  t.strictSame(await wakeOf(main, 'plan: small\n'), { rules: ['bots'], asleep, budget: {}, node });
  const own = 'plan: small\nwake: { rules: [], asleep: { status: 404 } }\n';
  t.strictSame(await wakeOf(main, own), { rules: [], asleep: { ...asleep, status: 404 }, budget: {}, node });
  const { body: _, ...byDefault } = { ...asleep, retryAfter: '10m' };
  t.strictSame(await wakeOf('{}'), { rules: [], asleep: byDefault, budget: {}, node: {} });
});

t.test('what a rule cannot be is refused where it stands', async (t) => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ['[robots]', /wake\.rules\[0\]: must be bots, monitors, scanners or static/],
    ['[{ pth: /a }]', /wake\.rules\[0\]\.pth: .*unknown/],
    ['[{ path: a }]', /wake\.rules\[0\]\.path: must be a path/],
    ['[{ path: "/a?b" }]', /path: must be a path without a query/],
    ['[{ path: "/*a*b*c*d*" }]', /path: must not have more than four \*/],
    [`[{ path: /${'a'.repeat(200)} }]`, /path: must be a path/],
    ['[{ userAgent: "" }]', /userAgent: must be/],
    ['[{ network: 2001:db8::1 }]', /network: must be an IP address or subnet/],
    ['[{ network: [10.0.0.0/8, 10.0.0.0/33] }]', /network\[1\]: must be an IP address or subnet/],
    ['[{ rate: 0/m }]', /rate: must be a rate/],
    ['[{ asleep: { status: 204 } }]', /status: must be 200, 403, 404, 410, 429 or 503/],
    ['[{ asleep: { retryAfter: 0s } }]', /retryAfter: must be a duration from 1s/],
    [`[${'bots, '.repeat(33)}]`, /wake\.rules: must not have more than 32 entries, got 33/],
  ];
  for (const [rules, message] of rows) {
    const problems = await problemsOf({ 'main.yaml': '{}', 'apps/a.yaml': app(`wake: { rules: ${rules} }\n`) });
    t.match(problems.join('\n'), message, rules);
  }
  const customers =
    'apps: { path: ./apps/*.yaml, trust: customer, domains: "*.localhost", images: a, plan: p }\nplans: { p: { runtime: docker } }';
  const theirs = 'name: a\ndomains: a.localhost\nimage: a:1\nwake: { rules: [] }\n';
  t.match(
    (await problemsOf({ 'main.yaml': customers, 'apps/a.yaml': theirs })).join(),
    /wake: is not for a customer to say/,
  );
});

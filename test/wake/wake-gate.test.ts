import t from 'tap';
import { emptyDeployment, type Deployment } from '../../src/model/deployment.js';
import type { RequestError } from '../../src/model/errors.js';
import type { WakeRule } from '../../src/model/wake/wake-keys.js';
import { WakeGate } from '../../src/wake/wake-gate.js';
import { testApp } from '../fixtures/app.js';
import { VirtualClock } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

interface Said {
  readonly budget?: { readonly perClient?: string; readonly total?: string };
  readonly perApp?: string;
  readonly rules?: readonly WakeRule[];
  readonly parts?: number;
}

function setUp({ budget = {}, perApp, rules = [], parts = 1 }: Said = {}) {
  const clock = new VirtualClock();
  const verdicts: string[] = [];
  const gate = new WakeGate({
    budget,
    parts,
    clock,
    onVerdict: (rule, verdict) => void verdicts.push(`${rule} ${verdict}`),
  });
  const appOf = (name: string) => {
    const app = testApp({ name });
    return { ...app, wake: { ...app.wake, rules: [...rules], budget: perApp === undefined ? {} : { perApp } } };
  };
  /** What becomes of a request: `in`, or the code of its refusal and its Retry-After. */
  const ask = (
    name: string,
    client: string | undefined,
    {
      deployment = emptyDeployment(name),
      waiting = 0,
      headers = [] as string[],
    }: { deployment?: Deployment; waiting?: number; headers?: string[] } = {},
  ) => {
    const asking = { admitted: { method: 'GET', target: '/a?b', headers }, client };
    const app = appOf(name);
    try {
      gate.admit({ app, deployment, waiting }, asking, gate.judge(app, asking));
      return 'in';
    } catch (error) {
      const { code, retryAfterS } = error as RequestError;
      return `${code} ${retryAfterS}`;
    }
  };
  return { gate, clock, verdicts, ask };
}

const bot = { headers: ['Host', 'a', 'user-AGENT', 'GPTBot/1.2'] };

t.test('a bot does not wake a sleeping app, and gets everything of one that runs or boots', async (t) => {
  const { ask, verdicts } = setUp({ rules: ['bots'] });
  t.equal(ask('a', 'c', bot), 'wake_denied 600');
  t.equal(ask('a', 'c'), 'in', 'a person');
  t.equal(ask('a', 'c', { ...bot, waiting: 1 }), 'in', 'others have woken it');
  t.equal(ask('a', 'c', { ...bot, deployment: testDeployment({ state: 'booting' }) }), 'in');
  t.equal(ask('a', 'c', { ...bot, deployment: testDeployment({}) }), 'in');
  t.equal(
    ask('a', 'c', { ...bot, deployment: testDeployment({ state: 'draining' }) }),
    'wake_denied 600',
    'it falls asleep',
  );
  const end = { reason: 'restart' as const, since: 0 };
  t.equal(ask('a', 'c', { ...bot, deployment: testDeployment({ state: 'draining', end }) }), 'in', 'it is replaced');
  t.same(verdicts, [
    'bots denied',
    'bots uncounted',
    'bots uncounted',
    'bots uncounted',
    'bots denied',
    'bots uncounted',
  ]);
});

t.test('budgets bound how often a client, an app and all together are woken', async (t) => {
  const { ask, verdicts, clock } = setUp({ budget: { perClient: '2/m', total: '5/m' }, perApp: '3/h' });
  t.same([ask('a', 'x'), ask('b', 'x'), ask('c', 'x')], ['in', 'in', 'wake_denied 30'], 'over all apps');
  t.same([ask('a', 'y'), ask('a', 'y'), ask('a', 'z')], ['in', 'in', 'wake_denied 1200']);
  t.equal(ask('d', 'z'), 'in');
  t.equal(ask('e', 'z'), 'wake_denied 12', 'what was refused took nothing');
  t.same(verdicts, ['budget-client denied', 'budget-app denied', 'budget-total denied']);
  await clock.advance(60_000);
  t.equal(ask('e', 'z'), 'in');
});

t.test('a request takes nothing from a budget if it wakes nothing', async (t) => {
  const { ask, clock } = setUp({ budget: { total: '1/h' }, rules: ['bots'] });
  t.equal(ask('a', 'x', { deployment: testDeployment({}) }), 'in');
  t.equal(ask('a', 'x', { waiting: 3 }), 'in', 'one of a herd');
  t.equal(ask('a', 'x', bot), 'wake_denied 600');
  const breaker = { failures: 1, retryAt: clock.now() + 1_000, code: 'boot_failed' as const, message: 'm' };
  t.equal(
    ask('a', 'x', { deployment: { ...emptyDeployment('a'), breaker } }),
    'in',
    'it is refused for the boot that failed',
  );
  t.equal(ask('a', 'x'), 'in');
  t.match(ask('a', 'x'), /^wake_denied/);
});

t.test(
  'clients that are not known have no budget of their own, and each of several processes has its part',
  async (t) => {
    const { ask } = setUp({ budget: { perClient: '1/m' } });
    t.same([ask('a', undefined), ask('a', undefined)], ['in', 'in']);
    const part = setUp({ budget: { total: '10/m' }, parts: 4 });
    t.same(
      Array.from({ length: 4 }, () => part.ask('a', 'x')),
      ['in', 'in', 'in', 'wake_denied 20'],
    );
  },
);

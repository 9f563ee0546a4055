import fc from 'fast-check';
import t from 'tap';
import type { Verdict } from '../../src/membership/peers.js';
import { type Deployment, findInstance } from '../../src/model/deployment.js';
import type { Instance, InstanceState } from '../../src/model/instance.js';
import { type HostView, outOfReach, removeOutOfReach } from '../../src/terminate/silent-host-policy.js';
import { testDeployment, testInstance } from '../fixtures/deployment.js';

const verdicts: Record<string, Verdict> = {
  me: 'alive',
  peer: 'alive',
  newcomer: 'unknown',
  frozen: 'silent',
  dead: 'gone',
};
const sessions = Object.keys(verdicts);

/** What a node sees whose own machine, `here`, lives, and `there` does not, unless told otherwise. */
const seen = (changes: Partial<HostView> = {}): HostView => ({
  now: 9_000,
  me: 'me',
  verdict: (session) => verdicts[session] ?? 'unknown',
  isSeen: ({ host }) => host === 'here',
  ...changes,
});

const usedBy = (...users: string[]) => Object.fromEntries(users.map((user) => [user, { since: 0 }]));
const there = (changes: Partial<Instance> = {}) => testInstance({ host: 'there', ...changes });
const idsOf = (instances: readonly Instance[]) => instances.map(({ id }) => id);

t.test('while its machine has a live node, no instance is suspected, used or not', async (t) => {
  const deployment = testDeployment({ host: 'here' }, { id: 'shop-2', host: 'here', users: usedBy('dead') });
  t.same(outOfReach(deployment, seen()), []);
  t.same(outOfReach(testDeployment(there()), seen({ isSeen: () => true })), []);
});

t.test(
  'an instance of a machine without a live node is suspected where nobody, or only this node, uses it',
  async (t) => {
    const deployment = testDeployment(there(), there({ id: 'shop-2', users: usedBy('me') }), { id: 'shop-3' });
    t.same(idsOf(outOfReach(deployment, seen())), ['shop-1', 'shop-2']);
  },
);

t.test('one that a live node uses reaches somebody, and is not lost', async (t) => {
  t.same(outOfReach(testDeployment(there({ users: usedBy('me', 'peer') })), seen()), []);
});

t.test('a user that nobody has seen yet may have come just now', async (t) => {
  t.same(outOfReach(testDeployment(there({ users: usedBy('newcomer') })), seen()), []);
  t.same(outOfReach(testDeployment(there({ users: usedBy('dead', 'frozen', 'newcomer') })), seen()), []);
});

t.test('users that are silent or gone do not hold it', async (t) => {
  t.equal(outOfReach(testDeployment(there({ users: usedBy('dead', 'frozen') })), seen()).length, 1);
});

t.test('a claim whose owner lives is carried out yet, one of a dead owner is not', async (t) => {
  const claim = (owner: string) => testDeployment(there({ state: 'booting', owner, deadlineAt: 20_000 }));
  for (const owner of ['peer', 'newcomer']) t.same(outOfReach(claim(owner), seen()), [], owner);
  for (const owner of ['dead', 'frozen', 'me']) t.equal(outOfReach(claim(owner), seen()).length, 1, owner);
});

t.test('what did not answer is removed, the rest of the deployment stays as it is', async (t) => {
  const deployment = { ...testDeployment(there(), there({ id: 'shop-2' })), version: 'v' };
  const after = removeOutOfReach(deployment, new Set(['shop-1']), seen());
  t.same(after, { ...deployment, instances: deployment.instances.slice(1), givenUp: [{ id: 'shop-1', at: 9_000 }] });
});

t.test('what a live node took up meanwhile stays; only the use of this node ends', async (t) => {
  const taken = there({ users: usedBy('me', 'peer'), lastActiveAt: 100 });
  const after = removeOutOfReach(testDeployment(taken), new Set(['shop-1']), seen());
  t.same(after.instances, [{ ...taken, users: usedBy('peer'), lastActiveAt: 9_000 }]);
});

t.test('what stays because its machine came back is not used by this node until it registers again', async (t) => {
  const back = seen({ isSeen: () => true });
  const after = removeOutOfReach(testDeployment(there({ users: usedBy('me') })), new Set(['shop-1']), back);
  t.match(after.instances, [{ id: 'shop-1', users: {} }]);
});

t.test('ids that are there no more change nothing', async (t) => {
  const deployment = testDeployment(there());
  t.equal(removeOutOfReach(deployment, new Set(['gone-1', 'gone-2']), seen()), deployment);
  t.equal(removeOutOfReach(deployment, new Set(), seen()), deployment);
});

const states: InstanceState[] = ['booting', 'ready', 'draining', 'terminating'];
const someInstance = fc.record({
  host: fc.constantFrom('here', 'there', 'elsewhere'),
  state: fc.constantFrom(...states),
  users: fc.subarray(sessions).map((users) => usedBy(...users)),
  owner: fc.option(fc.constantFrom(...sessions), { nil: undefined }),
});

const someDeployment = fc.array(someInstance, { maxLength: 6 }).map((drawn): Deployment =>
  testDeployment(
    ...drawn.map(({ owner, ...rest }, index) => ({
      ...rest,
      id: `shop-${index}`,
      ...(owner === undefined ? {} : { owner }),
    })),
  ),
);

const someView = fc
  .subarray<string>(['here', 'there', 'elsewhere'])
  .map((live) => seen({ isSeen: ({ host }) => live.includes(host) }));

const holds = ({ users, owner }: Instance) => [...Object.keys(users), ...(owner === undefined ? [] : [owner])];

t.test('whatever is removed had no live machine, and nobody else who may be alive held it', async (t) => {
  fc.assert(
    fc.property(someDeployment, someView, fc.array(fc.nat(7)), (deployment, view, numbers) => {
      const ids = new Set(numbers.map((number) => `shop-${number}`));
      const after = removeOutOfReach(deployment, ids, view);
      for (const instance of deployment.instances) {
        if (findInstance(after, instance.id)) continue;
        const others = holds(instance).filter((session) => session !== 'me');
        const isFree = others.every((session) => verdicts[session] === 'silent' || verdicts[session] === 'gone');
        if (!ids.has(instance.id) || view.isSeen(instance) || !isFree) return false;
      }
      return true;
    }),
  );
  t.pass('in all drawn deployments');
});

t.test('what is suspected is what is removed when none of it answers, and a second time removes nothing', async (t) => {
  fc.assert(
    fc.property(someDeployment, someView, (deployment, view) => {
      const suspects = idsOf(outOfReach(deployment, view));
      const after = removeOutOfReach(deployment, new Set(suspects), view);
      const removed = idsOf(deployment.instances).filter((id) => !findInstance(after, id));
      return (
        removed.join() === suspects.join() &&
        outOfReach(after, view).length === 0 &&
        removeOutOfReach(after, new Set(suspects), view) === after
      );
    }),
  );
  t.pass('in all drawn deployments');
});

t.test(
  'an instance that was not asked for is never touched, and one that stays is freed of this node alone',
  async (t) => {
    fc.assert(
      fc.property(someDeployment, someView, fc.array(fc.nat(7)), (deployment, view, numbers) => {
        const ids = new Set(numbers.map((number) => `shop-${number}`));
        const after = removeOutOfReach(deployment, ids, view);
        return after.instances.every((instance) => {
          const before = findInstance(deployment, instance.id);
          if (!before || !ids.has(instance.id)) return before === instance;
          const { me: _me, ...others } = before.users;
          return JSON.stringify(instance.users) === JSON.stringify(others);
        });
      }),
    );
    t.pass('in all drawn deployments');
  },
);

import fc from 'fast-check';
import t from 'tap';
import { type BootPurpose, BootPermits } from '../../src/boot/boot-permits.js';
import { settle } from '../fixtures/clock.js';

t.test(
  'permits are given to apps in the order they were asked for, and a permit given back twice counts once',
  async (t) => {
    const permits = new BootPermits(1);
    const order: string[] = [];
    const first = await permits.take('first', 'first');
    const second = permits.take('second', 'first').then((giveBack) => (order.push('second'), giveBack));
    const third = permits.take('third', 'first').then((giveBack) => (order.push('third'), giveBack));
    await settle();
    t.same(order, []);
    first();
    first();
    await settle();
    t.same(order, ['second']);
    (await second)();
    await settle();
    t.same(order, ['second', 'third']);
    (await third)();
    (await permits.take('first', 'first'))();
  },
);

/** Takes a permit and notes whose turn it was. */
function line(permits: BootPermits) {
  const order: string[] = [];
  const held = new Map<string, () => void>();
  const ask = (app: string, purpose: BootPurpose, name = app) => {
    void permits.take(app, purpose).then((giveBack) => {
      order.push(name);
      held.set(name, giveBack);
    });
  };
  const done = async (name: string) => {
    held.get(name)?.();
    await settle();
  };
  return { order, ask, done };
}

t.test('one app that scales out by many does not come before the first boot of another', async (t) => {
  const { order, ask, done } = line(new BootPermits(3));
  ask('greedy', 'first', 'greedy 1');
  for (let index = 2; index <= 5; index += 1) ask('greedy', 'scale_out', `greedy ${index}`);
  ask('sleeping', 'first');
  await settle();
  t.same(order, ['greedy 1', 'greedy 2', 'sleeping'], 'the last free permit is for those that have no instance yet');
  ask('late', 'first');
  await done('greedy 1');
  t.same(order.at(-1), 'late');
  await done('sleeping');
  t.equal(order.length, 4, 'the last free permit is kept');
  await done('late');
  t.same(order.at(-1), 'greedy 3');
});

t.test('apps that scale out take turns', async (t) => {
  const { order, ask, done } = line(new BootPermits(1));
  for (const name of ['a 1', 'a 2', 'a 3', 'b 1', 'b 2', 'c 1']) ask(name[0] as string, 'scale_out', name);
  await settle();
  for (const name of ['a 1', 'a 2', 'b 1', 'c 1', 'a 3']) await done(name);
  t.same(order, ['a 1', 'a 2', 'b 1', 'c 1', 'a 3', 'b 2']);
});

t.test('never more permits are held than there are, and every asker gets one', async () => {
  const asks = fc.array(fc.record({ app: fc.integer({ min: 0, max: 4 }), first: fc.boolean() }), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), asks, fc.infiniteStream(fc.nat()), async (max, wanted, picks) => {
      const permits = new BootPermits(max);
      const held: (() => void)[] = [];
      let served = 0;
      for (const { app, first } of wanted) {
        void permits.take(String(app), first ? 'first' : 'scale_out').then((giveBack) => {
          served += 1;
          held.push(giveBack);
        });
      }
      await Promise.resolve();
      for (let turn = 0; turn <= wanted.length; turn += 1) {
        for (let tick = 0; tick < 5; tick += 1) await Promise.resolve();
        if (held.length > max) throw new Error(`${held.length} of ${max} permits are held`);
        const pick = picks.next().value % Math.max(1, held.length);
        held.splice(pick, 1)[0]?.();
      }
      if (served !== wanted.length) throw new Error(`${served} of ${wanted.length} were served`);
    }),
  );
});

t.test('boots that a request waits for come before those that nobody asked for', async (t) => {
  const { order, ask, done } = line(new BootPermits(1));
  ask('busy', 'first');
  ask('old', 'replacement');
  ask('kept', 'minimum');
  ask('growing', 'scale_out');
  ask('sleeping', 'first');
  await settle();
  for (const name of ['busy', 'sleeping', 'growing', 'kept', 'old']) await done(name);
  t.same(order, ['busy', 'sleeping', 'growing', 'kept', 'old']);
});

import t from 'tap';
import { OrderTurns } from '../../src/certify/order-turns.js';

/** Orders that end when they are told to. */
function orders() {
  const turns = new OrderTurns();
  const ends = new Map<string, () => void>();
  const begin = (app: string, name: string) =>
    turns.run(app, async () => {
      await new Promise<void>((end) => ends.set(name, end));
      ends.delete(name);
    });
  return { begin, running: () => [...ends.keys()], end: (name: string) => ends.get(name)?.() };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

t.test('orders of one app, however slow, do not hold up those of others', async (t) => {
  const { begin, running, end } = orders();
  const slow = ['s1', 's2', 's3', 's4'].map((name) => begin('slow', name));
  const other = begin('other', 'o1');
  await settled();
  t.same(running(), ['s1', 's2', 'o1']);
  end('s2');
  await settled();
  t.same(running(), ['s1', 'o1', 's3']);
  for (const name of ['s1', 'o1', 's3']) end(name);
  await settled();
  end('s4');
  await Promise.all([...slow, other]);
});

t.test('of one app only so many wait; others may still', async (t) => {
  const { begin, running, end } = orders();
  const many = Array.from({ length: 25 }, (_, index) => begin('greedy', `g${index}`));
  await t.rejects(begin('greedy', 'one more'), /too many/);
  const other = begin('other', 'o1');
  await settled();
  t.ok(running().includes('o1'));
  while (running().length > 0) {
    for (const name of running()) end(name);
    await settled();
  }
  await Promise.all([...many, other]);
  const again = begin('greedy', 'later');
  await settled();
  t.same(running(), ['later']);
  end('later');
  await again;
});

t.test('an order that fails gives its turn to the next', async (t) => {
  const turns = new OrderTurns();
  const fail = () => turns.run('app', () => Promise.reject(new Error('no')));
  await Promise.all([1, 2, 3, 4].map(() => t.rejects(fail(), /no/)));
  t.equal(await turns.run('app', async () => 'yes'), 'yes');
});

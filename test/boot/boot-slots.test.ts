import t from 'tap';
import { BootSlots } from '../../src/boot/boot-slots.js';
import { settle } from '../fixtures/clock.js';

t.test('slots are given in the order they were asked for, and a slot given back twice counts once', async (t) => {
  const slots = new BootSlots(1);
  const order: string[] = [];
  const first = await slots.take();
  const second = slots.take().then((giveBack) => (order.push('second'), giveBack));
  const third = slots.take().then((giveBack) => (order.push('third'), giveBack));
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
  (await slots.take())();
});

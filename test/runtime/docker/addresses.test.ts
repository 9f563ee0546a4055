import t from 'tap';
import type { Clock } from '../../../src/model/clock.js';
import { parseSubnet } from '../../../src/runtime/network/subnet.js';
import { addressPool } from '../../../src/runtime/docker/addresses.js';

function stoppedClock(): Clock & { pass(ms: number): void } {
  let time = 0;
  return {
    now: () => time,
    monotonic: () => time,
    after: () => ({ cancel: () => undefined }),
    pass: (ms) => void (time += ms),
  };
}

function smallPool(clock: Clock, inUse: string[] = [], start = 0) {
  return addressPool({ subnet: '10.1.2.0/29', reserved: ['10.1.2.1'], inUse, clock, start });
}

t.test('gives out each address once and never the gateway, the network or the broadcast address', async (t) => {
  const pool = smallPool(stoppedClock(), ['10.1.2.4']);
  t.same(
    [1, 2, 3, 4, 5].map(() => pool.take()),
    ['10.1.2.2', '10.1.2.3', '10.1.2.5', '10.1.2.6', undefined],
  );
});

t.test('begins anywhere and goes round', async (t) => {
  const pool = smallPool(stoppedClock(), [], 0.7);
  t.same(
    [1, 2, 3, 4, 5, 6].map(() => pool.take()),
    [...['10.1.2.5', '10.1.2.6', '10.1.2.2', '10.1.2.3', '10.1.2.4'], undefined],
  );
});

t.test('reuses the address that was freed longest ago, after a minute and not before', async (t) => {
  const clock = stoppedClock();
  const pool = smallPool(clock);
  const taken = [1, 2, 3, 4, 5].map(() => pool.take() ?? '');
  for (const address of [taken[3], taken[1]]) {
    pool.free(address ?? '');
    clock.pass(1_000);
  }
  t.equal(pool.take(), undefined);
  clock.pass(58_999);
  t.equal(pool.take(), taken[3]);
  t.equal(pool.take(), undefined);
  clock.pass(1_000);
  t.equal(pool.take(), taken[1]);
});

t.test('an address that was freed before it was ever given out rests too', async (t) => {
  const clock = stoppedClock();
  const pool = smallPool(clock, ['10.1.2.2']);
  pool.free('10.1.2.2');
  t.equal(pool.take(), '10.1.2.3');
});

t.test('freeing twice, or what was never held, changes nothing', async (t) => {
  const clock = stoppedClock();
  const pool = smallPool(clock);
  const taken = [1, 2, 3, 4, 5].map(() => pool.take() ?? '');
  pool.free(taken[0] ?? '');
  pool.free(taken[0] ?? '');
  pool.free('192.168.0.1');
  pool.free('nonsense');
  clock.pass(60_000);
  t.equal(pool.take(), taken[0]);
  t.equal(pool.take(), undefined);
});

t.test('a refresh frees what the engine no longer holds, but nothing that may be booting', async (t) => {
  const clock = stoppedClock();
  const pool = smallPool(clock);
  const taken = [1, 2, 3, 4].map(() => pool.take() ?? '');
  clock.pass(300_000);
  const booting = pool.take();
  pool.refresh([taken[0] ?? '']);
  clock.pass(60_000);
  const again = [1, 2, 3].map(() => pool.take());
  t.same(again.toSorted(), taken.slice(1));
  t.notOk(again.includes(booting));
  t.equal(pool.take(), undefined);
});

t.test('a subnet that is none is named', async (t) => {
  for (const subnet of ['10.0.0.0', '10.0.0.0/30', '10.0.0.0/4', 'fd00::/64', '10.0.0/24', '10.0.0.0/x', '']) {
    t.throws(() => parseSubnet(subnet), { message: `runtimes.docker.subnet: ${subnet} is not an IPv4 subnet` });
  }
  t.same(parseSubnet('10.80.0.0/16'), { first: 0x0a500001, count: 65_534 });
});

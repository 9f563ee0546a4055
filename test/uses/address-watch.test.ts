import { pino } from 'pino';
import t from 'tap';
import type { LocalApps } from '../../src/uses/local-apps.js';
import type { Use } from '../../src/uses/use.js';
import { AddressWatch } from '../../src/uses/address-watch.js';
import { VirtualClock } from '../fixtures/clock.js';

function setUp() {
  const clock = new VirtualClock();
  const silent = new Set<string>();
  const asked: string[] = [];
  const ended: { id: string; at: number }[] = [];
  const store = { outage: undefined as string | undefined, answeredAt: 0 };
  const local = { name: 'shop', uses: new Map<string, Use>() };
  for (const id of ['one', 'two']) {
    const use = { local, instanceId: id, address: { host: id, port: 80 }, isCurrent: true };
    local.uses.set(id, use as unknown as Use);
  }
  const watch = new AddressWatch({
    apps: { values: () => [local].values() } as unknown as LocalApps,
    uses: {
      end(_local, id) {
        local.uses.delete(id);
        ended.push({ id, at: clock.monotonic() });
      },
    },
    store,
    probe: async ({ address }) => {
      asked.push(address.host);
      return !silent.has(address.host);
    },
    clock,
    logger: pino({ level: 'silent' }),
  });
  watch.start();
  return { clock, silent, asked, ended, store, watch };
}

t.test('while the store answers no address is looked at', async (t) => {
  const { clock, asked } = setUp();
  await clock.advance(600_000);
  t.same(asked, []);
});

t.test(
  'while it is away an address that takes connections is used on, one that does not is given up in time',
  async (t) => {
    const { clock, silent, ended, store, watch } = setUp();
    store.answeredAt = 5_000;
    store.outage = 'away';
    await clock.advance(600_000);
    t.same(ended, [], 'however long it is away');
    silent.add('two');
    await clock.advance(45_000);
    t.match(ended, [{ id: 'two' }]);
    // Last proved at 600 s, freed after that at the earliest: another app has it after 660 s at the earliest.
    t.ok((ended[0]?.at ?? Infinity) < 645_000);
    watch.stop();
  },
);

t.test('a short failure gives up nothing', async (t) => {
  const { clock, silent, ended, store } = setUp();
  store.outage = 'away';
  await clock.advance(15_000);
  silent.add('one');
  await clock.advance(10_000);
  silent.clear();
  await clock.advance(60_000);
  t.same(ended, []);
});

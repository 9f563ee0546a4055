import { setImmediate as turn } from 'node:timers/promises';
import { testApp } from '../../fixtures/app.js';
import { collect } from '../collect.js';
import { app, ownerOf, spoilSigned, type StoreTest } from './store.js';

export function domainsConformance(test: StoreTest): void {
  test('a domain claimed twice is refused with both names, and nothing of the loser changes', async (t, cmdb) => {
    const thief = testApp({ name: 'thief', domains: ['thief.example'] });
    await cmdb.apply({ put: [app, thief], remove: [] });
    const greedy = { ...thief, domains: ['thief.example', 'new.example', 'shop.example'], idleTtlMs: 1 };
    t.same(await cmdb.apply({ put: [greedy], remove: [] }), [
      { domain: 'shop.example', wantedBy: 'thief', ownedBy: 'shop' },
    ]);
    t.same((await cmdb.find({ app: 'thief' }))?.app, thief);
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'shop');
    t.equal(await cmdb.find({ domain: 'new.example' }), undefined);
  });

  test('a domain that its owner gave up is free, also for an app of the same change', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const heir = testApp({ name: 'heir', domains: ['shop.example'] });
    t.same(await cmdb.apply({ put: [heir], remove: ['shop'] }), []);
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'heir');
    await cmdb.apply({ put: [{ ...heir, domains: ['heir.example'] }], remove: [] });
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
  });

  test('a claim that its owner does not list leads nowhere', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const record = JSON.stringify({ v: 1, app: { ...app, domains: ['other.example'] }, removed: false });
    await spoilSigned(store, 'app', 'shop', record);
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
    t.equal(await cmdb.find({ domain: 'any.shop.example' }), undefined);
  });

  test('of two new apps that want one domain in one change the first has it', async (t, cmdb) => {
    const second = testApp({ name: 'second', domains: ['shop.example'] });
    t.same(await cmdb.apply({ put: [app, second], remove: [] }), [
      { domain: 'shop.example', wantedBy: 'second', ownedBy: 'shop' },
    ]);
    t.equal(await cmdb.find({ app: 'second' }), undefined);
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'shop');
  });

  test('apps that exchange domains in one change, two or three of them, all get what they want', async (t, cmdb, store) => {
    const ring = ['a', 'b', 'c', 'd', 'e'].map((name) => testApp({ name, domains: [`${name}.example`] }));
    await cmdb.apply({ put: [...ring, testApp({ name: 'wild', domains: ['*.example'] })], remove: [] });
    const moves: Record<string, string> = { a: 'b', b: 'a', c: 'd', d: 'e', e: 'c' };
    const moved = ring.map((one) => ({ ...one, domains: [`${moves[one.name]}.example`] }));
    const allowed = (domain: string) => [domain, ...Object.keys(moves).filter((name) => moves[name] === domain)];
    const other = store.open();
    const done = new AbortController();
    const watching = (async () => {
      while (!done.signal.aborted) {
        await turn();
        for (const domain of Object.keys(moves)) {
          const found = await ownerOf(other, `${domain}.example`);
          if (found !== undefined && !allowed(domain).includes(found)) t.fail(`${domain} led to ${found}`);
        }
      }
    })();
    t.same(await cmdb.apply({ put: moved, remove: [] }), []);
    done.abort();
    await watching;
    for (const [name, domain] of Object.entries(moves)) t.equal(await ownerOf(cmdb, `${domain}.example`), name);
  });

  test('one that is refused keeps its domains, also from those who were to get them', async (t, cmdb) => {
    const [first, second] = ['first', 'second'].map((name) => testApp({ name, domains: [`${name}.example`] }));
    await cmdb.apply({ put: [app, first!, second!], remove: [] });
    const greedy = { ...first!, domains: ['shop.example'] };
    const heir = { ...second!, domains: ['first.example'] };
    t.same(await cmdb.apply({ put: [heir, greedy], remove: [] }), [
      { domain: 'first.example', wantedBy: 'second', ownedBy: 'first' },
      { domain: 'shop.example', wantedBy: 'first', ownedBy: 'shop' },
    ]);
    t.equal(await ownerOf(cmdb, 'first.example'), 'first');
    t.equal(await ownerOf(cmdb, 'second.example'), 'second');
  });

  test('a claim that was lost is made again with its unchanged app, and told', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    await store.spoil('domain', 'shop.example', undefined);
    t.equal(await ownerOf(cmdb, 'shop.example'), undefined);
    t.same(await cmdb.apply({ put: [app], remove: [] }), []);
    t.equal(await ownerOf(cmdb, 'shop.example'), 'shop');
    t.match((await collect(cmdb, position, 1))[0], { app: 'shop' });
  });

  test('of two changes at once that want one domain only one gets it', async (t, cmdb, store) => {
    const other = store.open();
    for (let round = 0; round < 40; round += 1) {
      const [left, right] = ['left', 'right'].map((side) =>
        testApp({ name: `${side}-${round}`, domains: [`${round}.example`, `${side}.${round}.example`] }),
      );
      const answers = await Promise.all([
        cmdb.apply({ put: [left!], remove: [] }),
        other.apply({ put: [right!], remove: [] }),
      ]);
      t.equal(answers.flat().length, 1, 'one is told that the other has it');
      const loser = answers.flat()[0]?.wantedBy ?? '';
      const winner = loser === left!.name ? right!.name : left!.name;
      t.equal(await ownerOf(cmdb, `${round}.example`), winner);
      t.equal(await cmdb.find({ app: loser }), undefined, 'the other one is not stored');
    }
  });

  test('apps that several nodes put at once are never gone again once they are seen', async (t, cmdb, store) => {
    const nodes = [cmdb, store.open(), store.open()];
    const reader = store.open();
    for (let round = 0; round < 15; round += 1) {
      const put = Array.from({ length: 8 }, (_, index) => {
        const name = `app-${round}-${index}`;
        return testApp({ name, domains: ['a', 'b', 'c'].map((sub) => `${sub}.${name}.example`) });
      });
      const seen = new Set<string>();
      const done = new AbortController();
      const watching = (async () => {
        while (!done.signal.aborted) {
          await turn();
          const records = await Promise.all(put.map(({ name }) => reader.find({ app: name })));
          for (const [index, { name }] of put.entries()) {
            if (records[index]?.removed === false) seen.add(name);
            else if (seen.has(name)) t.fail(`${name} was there, and is gone`);
          }
        }
      })();
      const origins = new Map(put.map(({ name }) => [name, { host: 'a', since: 10, changed: false }]));
      const applying = nodes.map((node) => node.apply({ put, remove: [], origins }));
      t.same((await Promise.all(applying)).flat(), []);
      done.abort();
      await watching;
      for (const { name, domains } of put) t.equal(await ownerOf(cmdb, domains[0]!), name);
    }
  });

  test('a domain that two apps pass on while it is looked up leads to one of them, never to a wildcard', async (t, cmdb, store) => {
    const other = store.open();
    const wild = testApp({ name: 'wild', domains: ['*.example'] });
    const owners = ['left', 'right'].map((name) => testApp({ name, domains: ['x.example'] }));
    await cmdb.apply({ put: [wild, owners[0]!, { ...owners[1]!, domains: ['y.example'] }], remove: [] });
    const seen = new Set<string | undefined>();
    const done = new AbortController();
    const watching = (async () => {
      while (!done.signal.aborted) {
        await turn();
        seen.add(await ownerOf(other, 'x.example'));
      }
    })();
    for (let round = 0; round < 20; round += 1) {
      const [from, to] = round % 2 === 0 ? owners : owners.toReversed();
      await cmdb.apply({ put: [{ ...from!, domains: ['y.example'] }, to!], remove: [] });
    }
    done.abort();
    await watching;
    t.equal(seen.has('wild'), false);
  });
}

import type { StoreTest } from './store.js';

export function sealedConformance(test: StoreTest): void {
  test('a sealed document is what was written last, for every handle, until it is removed', async (t, cmdb, store) => {
    const other = store.open();
    t.equal(await cmdb.sealed('shop.example'), undefined);
    t.equal(await cmdb.changeSealed('shop.example', () => 'one'), 'one');
    t.equal(await other.sealed('shop.example'), 'one');
    t.equal(await other.changeSealed('shop.example', (before) => `${before} two`), 'one two');
    t.equal(await cmdb.sealed('shop.example'), 'one two');
    t.equal(await cmdb.sealed('www.shop.example'), undefined);
    t.equal(await cmdb.changeSealed('shop.example', () => undefined), undefined);
    t.equal(await other.sealed('shop.example'), undefined);
    t.same(await store.remnants(), []);
  });

  test('of changes that are made at once none is lost', async (t, cmdb, store) => {
    const handles = [cmdb, store.open(), store.open()];
    const count = (before: string | undefined) => String(Number(before ?? 0) + 1);
    await Promise.all(handles.flatMap((handle) => [1, 2, 3].map(() => handle.changeSealed('lease', count))));
    t.equal(await cmdb.sealed('lease'), '9');
  });

  test('a change that throws, or changes nothing, writes nothing', async (t, cmdb) => {
    await cmdb.changeSealed('lease', () => 'held');
    const refusal = new Error('held by another');
    await t.rejects(
      cmdb.changeSealed('lease', () => {
        throw refusal;
      }),
      refusal,
    );
    t.equal(await cmdb.changeSealed('lease', (before) => before), 'held');
    t.equal(await cmdb.sealed('lease'), 'held');
  });

  test('sealed documents are apart from apps and domains of the same name', async (t, cmdb) => {
    await cmdb.changeSealed('shop', () => 'sealed');
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
    t.equal(await cmdb.find({ domain: 'shop' }), undefined);
  });

  test('a document cannot be sealed under what is no key', async (t, cmdb) => {
    for (const name of ['', 'a\0b', 'x'.repeat(256)]) {
      await t.rejects(
        cmdb.changeSealed(name, () => 'x'),
        RangeError,
      );
      t.equal(await cmdb.sealed(name), undefined);
    }
  });
}

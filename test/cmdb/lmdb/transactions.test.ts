import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import t, { type Test } from 'tap';
import { Transactions } from '../../../src/cmdb/lmdb/transactions.js';

// The store's own handles do not keep a process alive; in the daemon its server does.
const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

async function fresh(t: Test) {
  const path = await mkdtemp(join(tmpdir(), 'fastcontainer-lmdb-'));
  const root = open<string, string>({ path, encoding: 'string' });
  const transactions = new Transactions(root, 10_000);
  t.teardown(async () => {
    await transactions.close();
    await rm(path, { recursive: true, force: true });
  });
  return { root, transactions };
}

function failing(fault: Error): () => never {
  return () => {
    throw fault;
  };
}

t.test('a defect in a transaction is thrown as it is, and the next transaction runs', async (t) => {
  const { root, transactions } = await fresh(t);
  for (const fault of [new TypeError('a bug'), new RangeError('a bug'), new ReferenceError('a bug')]) {
    t.throws(() => transactions.read(failing(fault)), fault);
    await t.rejects(transactions.write(failing(fault)), fault);
  }
  await transactions.write(() => root.put('key', 'value'));
  t.equal(
    transactions.read(() => root.get('key')),
    'value',
  );
});

t.test('what LMDB throws is told as a store that cannot be used, with its cause', async (t) => {
  const { transactions } = await fresh(t);
  const fault = Object.assign(new Error('MDB_CORRUPTED: Located page was wrong type'), { code: -30_796 });
  const expected = { code: 'cmdb_unavailable', cause: fault };
  t.throws(() => transactions.read(failing(fault)), expected);
  await t.rejects(transactions.write(failing(fault)), expected);
});

import type { LedgerQuery } from '../cmdb.js';
import { ledgerStart, type StoredEntries } from '../documents.js';
import type { Link } from './link.js';

type Entry = [id: string, fields: string[]];

/** Reads a stream of the ledger; see Cmdb.ledger. */
export async function readLedger(
  link: Link,
  key: string,
  { after, limit }: Omit<LedgerQuery, 'app'>,
): Promise<StoredEntries> {
  if (after === undefined) {
    const [latest] = (await link.all([['xrevrange', key, '+', '-', 'COUNT', limit]])) as [Entry[]];
    return { entries: latest.toReversed().map(entryOf), gap: false };
  }
  const [upTo, next] = (await link.all([
    ['xrevrange', key, after, '-', 'COUNT', 1],
    ['xrange', key, `(${after}`, '+', 'COUNT', limit],
  ])) as [Entry[], Entry[]];
  // The oldest go first: as long as one of before is there, none of later has gone.
  return { entries: next.map(entryOf), gap: after !== ledgerStart && upTo.length === 0 };
}

function entryOf([id, [, text = '']]: Entry) {
  return { id, text };
}

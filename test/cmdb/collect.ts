import type { Change, Cmdb } from '../../src/cmdb/cmdb.js';
import { eventually } from '../fixtures/eventually.js';

/** Follows the log until that many changes have come. */
export async function collect(cmdb: Cmdb, from: string, count: number): Promise<Change[]> {
  const changes: Change[] = [];
  let position = from;
  return eventually(async () => {
    const batch = await cmdb.changes(position, AbortSignal.timeout(5_000));
    position = batch.position;
    changes.push(...batch.changes);
    return changes.length >= count ? changes : undefined;
  }) as Promise<Change[]>;
}

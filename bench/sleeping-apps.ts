import { pino } from 'pino';
import type { Cmdb } from '../src/cmdb/cmdb.js';
import { openLmdbCmdb } from '../src/cmdb/lmdb.js';
import { openRedisCmdb } from '../src/cmdb/redis.js';
import { RecordSigner } from '../src/cmdb/record-signer.js';
import { lmdbPath } from '../src/config/cmdb-url.js';
import { type App, appWith } from '../src/model/app.js';
import { benchKey, cmdbName } from './daemon.js';

const batch = 500;

/** Opens the store of a dispatcher from outside, under the name that the bench gives it. */
export function openStore(url: string): Cmdb {
  const onUnreadable = (record: string, problem: string | undefined) => {
    throw new Error(`${record}: ${problem}`);
  };
  const path = lmdbPath(url);
  const signer = new RecordSigner(benchKey, cmdbName);
  if (path !== undefined) return openLmdbCmdb({ path, signer, onUnreadable });
  return openRedisCmdb({ url, name: cmdbName, signer, logger: pino({ level: 'silent' }), onUnreadable });
}

/** Writes this many apps of one domain each, none of which runs. */
export async function putSleepingApps(cmdb: Cmdb, count: number): Promise<void> {
  for (let from = 0; from < count; from += batch) {
    const put = Array.from({ length: Math.min(batch, count - from) }, (_, index) => sleepingApp(from + index));
    const [conflict] = await cmdb.apply({ put, remove: [] });
    if (conflict) throw new Error(`an app was refused: ${JSON.stringify(conflict)}`);
  }
}

export function sleepingDomain(index: number): string {
  return `customer-${index}.example`;
}

/** One of them. */
export function sleepingApp(index: number): App {
  return appWith({
    name: `customer-${index}`,
    domains: [sleepingDomain(index)],
    runtime: 'process',
    command: ['node', `/srv/customer-${index}/server.js`],
    env: { NODE_ENV: 'production' },
    limits: { memoryBytes: 128 * 1024 ** 2, cpus: 0.25, cpuWeight: 100, pids: 256 },
  });
}

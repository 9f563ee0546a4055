import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './part.js';
import { startRedis } from './redis.js';

/** A store that a dispatcher of the bench runs over; `dir` is for that dispatcher's files. */
export interface Store {
  readonly name: string;
  readonly url: string;
  readonly dir: string;
}

/** Every kind of store that this machine has, each empty; `missing` says what it has not. A smoke run looks at one kind alone. */
export async function startStores({ processes, dir, smoke }: Bench, part: string) {
  const lmdb = join(dir, 'lmdb');
  const redis = await startRedis(processes, dir);
  const stores: Store[] = [{ name: 'LMDB', url: `lmdb:${lmdb}/cmdb`, dir: lmdb }];
  if (redis !== undefined) stores.push({ name: 'Redis', url: redis, dir: join(dir, 'redis') });
  for (const store of stores) mkdirSync(store.dir, { recursive: true });
  const missing = redis === undefined ? [`${part}: Redis; apt-get install redis-server`] : [];
  return { stores: smoke ? stores.slice(-1) : stores, missing };
}

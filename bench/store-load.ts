import { Redis } from 'ioredis';
import { metric } from './admin.js';
import type { BenchDaemon } from './daemon.js';
import type { Store } from './stores.js';

/** How much a dispatcher has asked of its store so far. */
export interface StoreLoad {
  /** By the dispatcher's own count: all operations but waiting for changes and walking a list. */
  readonly operations: number;
  /** Of whoever connects, by Redis' count; undefined of another store. */
  readonly commands: number | undefined;
}

/** A scrape walks all instances in the store: it must fall outside of what is measured, which begins or ends here. */
export async function storeLoadOf(daemon: BenchDaemon, { url }: Store, edge: 'begin' | 'end'): Promise<StoreLoad> {
  const commands = async () => (url.startsWith('redis:') ? commandsOf(url) : undefined);
  const atEnd = edge === 'end' ? await commands() : undefined;
  const operations = await metric(daemon, 'fastcontainer_cmdb_operation_seconds_count');
  return { operations, commands: edge === 'end' ? atEnd : await commands() };
}

/** What came in between, per second. */
export function perSecond(before: StoreLoad, after: StoreLoad, seconds: number): StoreLoad {
  const { operations, commands } = after;
  return {
    operations: (operations - before.operations) / seconds,
    commands: commands === undefined ? undefined : (commands - (before.commands ?? 0)) / seconds,
  };
}

/** Source: Redis' INFO; a script counts as one, and what it calls too. */
async function commandsOf(url: string): Promise<number> {
  const redis = new Redis(url, { lazyConnect: true });
  await redis.connect();
  try {
    const text = await redis.info('stats');
    return Number(/^total_commands_processed:(\d+)/m.exec(text)?.[1] ?? Number.NaN);
  } finally {
    redis.disconnect();
  }
}

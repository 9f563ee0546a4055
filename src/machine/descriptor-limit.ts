import { readFileSync } from 'node:fs';

/** How many files and sockets this process may have open; undefined if the system does not tell. Source: proc(5). */
export function openFilesLimit(proc = '/proc'): number | undefined {
  try {
    const limits = readFileSync(`${proc}/self/limits`, 'utf8');
    const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(limits) ?? [];
    return soft === undefined || soft === 'unlimited' ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/**
 * How many client connections a process may take that can open `limit` files. Each may need a second descriptor, to an app; the
 * rest is for store, admin side, files and what watches apps.
 */
export function affordableConnections(limit: number): number {
  const reserve = Math.min(4_096, Math.max(64, Math.floor(limit / 4)));
  return Math.max(1, Math.floor((limit - reserve) / 2));
}

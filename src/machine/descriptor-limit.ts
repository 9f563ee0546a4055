import { readFileSync } from 'node:fs';

/** How many files and sockets this process may open; undefined if unlimited, or if the system does not tell. Source: proc(5). */
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
 * How many client connections a process that can open `limit` files may take. Each may need a second descriptor, to an app; some are
 * reserved for the store, the admin side, files and watching apps.
 */
export function affordableConnections(limit: number): number {
  const reserve = Math.min(4_096, Math.max(64, Math.floor(limit / 4)));
  return Math.max(1, Math.floor((limit - reserve) / 2));
}

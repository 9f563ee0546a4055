import { readFile } from 'node:fs/promises';

/** TCP ports of this host on which something listens beyond loopback, sorted. */
export async function hostListeners(): Promise<number[]> {
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'];
  const texts = await Promise.all(tables.map((path) => readFile(path, 'utf8').catch(() => '')));
  return listenersIn(texts.join('\n'));
}

/** The same from the text of /proc/net/tcp and /proc/net/tcp6, whose addresses are words in the machine's byte order. */
export function listenersIn(tables: string): number[] {
  const ports = tables.split('\n').flatMap((line) => {
    const [, address = '', port = ''] = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A /.exec(line) ?? [];
    return address === '' || isLoopback(address) ? [] : [Number.parseInt(port, 16)];
  });
  return [...new Set(ports)].toSorted((a, b) => a - b);
}

/** 127.0.0.0/8, ::1, and 127.0.0.0/8 written in IPv6, in either byte order. */
function isLoopback(address: string): boolean {
  const last = address.slice(-8);
  const isIPv4 = address.length === 8 || /^0{16}(0000FFFF|FFFF0000)/.test(address);
  return isIPv4 ? last.startsWith('7F') || last.endsWith('7F') : /^0{24}(00000001|01000000)$/.test(address);
}

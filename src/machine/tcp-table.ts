import { open } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { endianness } from 'node:os';

/** A connection, as seen from this machine. */
export interface Connection {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** State of a connection: the other side has ended it (`ended`) or not (`open`), or there is none (`gone`). */
export type TcpState = 'open' | 'ended' | 'gone';

/** CLOSE_WAIT, LAST_ACK, CLOSING, TIME_WAIT, CLOSE, by their numbers in /proc/net/tcp. */
const ended = new Set(['08', '09', '0B', '06', '07']);
const pieceBytes = 64 * 1024;

/**
 * Looks connections up in the system's table: nothing else tells that the client of an unread connection has gone. Undefined if there
 * is no such table. A connection may be missed while the table changes, so `gone` is certain only when seen twice.
 */
export async function tcpStates<C extends Connection>(connections: Iterable<C>): Promise<Map<C, TcpState> | undefined> {
  const wanted = new Map<string, C>();
  const states = new Map<C, TcpState>();
  for (const connection of connections) {
    // A connection that was reset has no remote address.
    const key = keyOf(connection);
    if (key !== undefined) wanted.set(key, connection);
    states.set(connection, 'gone');
  }
  if (wanted.size === 0) return states;
  try {
    for (const name of ['tcp', 'tcp6']) {
      for await (const line of lines(`/proc/net/${name}`)) {
        const [, local, remote, state = ''] = line.trim().split(' ', 4);
        const connection = wanted.get(`${local} ${remote}`);
        if (connection) states.set(connection, ended.has(state) ? 'ended' : 'open');
      }
    }
  } catch {
    return undefined;
  }
  return states;
}

/** Reads in pieces, between which requests go on, as there may be many connections. */
async function* lines(path: string): AsyncGenerator<string> {
  const file = await open(path);
  try {
    let rest = '';
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(pieceBytes), 0, pieceBytes, null);
      if (bytesRead === 0) return;
      const pieces = (rest + buffer.toString('latin1', 0, bytesRead)).split('\n');
      rest = pieces.pop() ?? '';
      yield* pieces;
    }
  } finally {
    await file.close();
  }
}

function keyOf({ localAddress, localPort, remoteAddress, remotePort }: Connection): string | undefined {
  if (localAddress === undefined || remoteAddress === undefined) return undefined;
  return `${endpoint(localAddress, localPort ?? 0)} ${endpoint(remoteAddress, remotePort ?? 0)}`;
}

function endpoint(address: string, port: number): string {
  return `${hexOf(address)}:${port.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** The table shows addresses as 32-bit words in this machine's byte order. */
function hexOf(address: string): string {
  const bytes = isIPv4(address) ? bytesOf4(address) : bytesOf6(address);
  if (endianness() === 'LE') {
    for (let at = 0; at < bytes.length; at += 4) bytes.splice(at, 4, ...bytes.slice(at, at + 4).toReversed());
  }
  return Buffer.from(bytes).toString('hex').toUpperCase();
}

function bytesOf4(address: string): number[] {
  return address.split('.').map(Number);
}

function bytesOf6(address: string): number[] {
  const [head = '', tail] = (address.split('%')[0] as string).split('::').map(groups);
  const front = groupsToBytes(head);
  if (tail === undefined) return front;
  const back = groupsToBytes(tail);
  return [...front, ...Array.from({ length: 16 - front.length - back.length }, () => 0), ...back];
}

/** Writes an IPv4 address at the end as two groups. */
function groups(text: string): string {
  return text.replace(/\d+\.\d+\.\d+\.\d+$/, (v4) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytesOf4(v4);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
}

function groupsToBytes(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

import { BlockList, isIPv6, type Socket } from 'node:net';
import type { Admitted } from './admission.js';

interface Peer {
  readonly address: string;
  /** As RFC 7239 writes it. */
  readonly node: string;
  readonly trusted: boolean;
  /** The Forwarded header of its last request, and the host that it was for: a connection mostly asks for one. */
  host: string;
  forwarded: string;
}

const kPeer = Symbol('peer');
const ipv4Mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;

/**
 * Tells the app where a request came from: X-Forwarded-For, -Proto, -Host and Forwarded. What came in counts only from
 * a trusted proxy; from anyone else it is a claim and is dropped. Source: RFC 7239.
 */
export class Origin {
  readonly #trusted = new BlockList();

  /** `trustedProxies`: IP addresses and CIDR ranges. */
  constructor(trustedProxies: readonly string[]) {
    for (const entry of trustedProxies) {
      const [address = '', prefix] = entry.split('/');
      const family = isIPv6(address) ? 'ipv6' : 'ipv4';
      if (prefix === undefined) this.#trusted.addAddress(address, family);
      else this.#trusted.addSubnet(address, Number(prefix), family);
    }
  }

  /** Appends the headers to `headers`, flat. */
  append(headers: string[], { claims, host }: Admitted, socket: Socket): void {
    const peer = this.#peerOf(socket);
    const forwarded = forwardedBy(peer, host);
    if (claims === undefined || !peer.trusted) {
      headers.push(
        'X-Forwarded-For',
        peer.address,
        'X-Forwarded-Proto',
        'http',
        'X-Forwarded-Host',
        host,
        'Forwarded',
        forwarded,
      );
      return;
    }
    const claimed = collect(claims);
    const listed = (name: string, own: string) => (claimed.has(name) ? `${claimed.get(name)}, ${own}` : own);
    headers.push(
      ...['X-Forwarded-For', listed('x-forwarded-for', peer.address)],
      ...['X-Forwarded-Proto', claimed.get('x-forwarded-proto') ?? 'http'],
      ...['X-Forwarded-Host', claimed.get('x-forwarded-host') ?? host],
      ...['Forwarded', listed('forwarded', forwarded)],
    );
    for (const [name, label] of [
      ['x-forwarded-port', 'X-Forwarded-Port'],
      ['x-real-ip', 'X-Real-IP'],
    ] as const) {
      const value = claimed.get(name);
      if (value !== undefined) headers.push(label, value);
    }
  }

  #peerOf(socket: Socket & { [kPeer]?: Peer }): Peer {
    return (socket[kPeer] ??= this.#inspect(socket.remoteAddress ?? ''));
  }

  #inspect(remote: string): Peer {
    const address = ipv4Mapped.exec(remote)?.[1] ?? remote;
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    const node = address === '' ? 'unknown' : family === 'ipv6' ? `"[${address}]"` : address;
    const trusted = address !== '' && this.#trusted.check(address, family);
    return { address: address || 'unknown', node, trusted, host: '', forwarded: '' };
  }
}

function forwardedBy(peer: Peer, host: string): string {
  if (peer.host === host) return peer.forwarded;
  peer.host = host;
  peer.forwarded = `for=${peer.node};host="${host}";proto=http`;
  return peer.forwarded;
}

/** Repeats are one list: RFC 9110 §5.3. Underscore spellings never count. */
function collect(claims: readonly string[]): Map<string, string> {
  const collected = new Map<string, string>();
  for (let index = 0; index < claims.length; index += 2) {
    const name = (claims[index] as string).toLowerCase();
    const before = collected.get(name);
    const value = claims[index + 1] as string;
    collected.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return collected;
}

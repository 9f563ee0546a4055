import { BlockList, isIP, isIPv6, type Socket } from 'node:net';
import { addressOf, readForwarded } from './forwarded-list.js';

/** The other end of a connection. */
export interface Peer {
  readonly address: string;
  /**
   * The client it counts as, unless it is a trusted proxy: an IPv4 address, or the /64 of an IPv6 address, since providers give
   * a whole /64 to one customer.
   */
  readonly client: string;
  /** The address in the form of RFC 7239. */
  readonly node: string;
  /** One of `trustedProxies`: what it says of its clients is believed, and it is no client itself. */
  readonly trusted: boolean;
  /** What it speaks with us. */
  readonly scheme: 'http' | 'https';
  /** When the connection was first looked at, which is when it came; in milliseconds of `performance.now()`. */
  readonly since: number;
  /** The host of its last request, and the Forwarded header made for it: most connections ask for one host. */
  host: string;
  forwarded: string;
}

/** Proxies in a row that are looked at; a client may have written the rest. */
const mostProxies = 16;

const kPeer = Symbol('peer');
const ipv4Mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

type Known = Socket & { [kPeer]?: Peer; readonly encrypted?: boolean };

/** Tells the other end of each connection, and the client that a request is from. */
export class Clients {
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

  /**
   * The address of the client that sent a request: the peer's, or behind trusted proxies the last address they name that is not
   * one of theirs. Undefined if they name none.
   */
  addressOf(socket: Socket, proxyHeaders: readonly string[] | undefined): string | undefined {
    const peer = this.peerOf(socket);
    if (!peer.trusted) return peer.client;
    for (const part of hopsOf(proxyHeaders)) {
      const address = addressOf(part.trim());
      const family = isIP(address);
      if (family === 0) return undefined;
      if (!this.#trusted.check(address, family === 6 ? 'ipv6' : 'ipv4')) return prefixOf(address);
    }
    return undefined;
  }

  /** Whether a request came over TLS, to this daemon or to the first of the trusted proxies that say so. */
  isSecure(socket: Socket, proxyHeaders: readonly string[] | undefined): boolean {
    const peer = this.peerOf(socket);
    const told = peer.trusted ? schemeIn(proxyHeaders) : undefined;
    // Some proxies call it `wss` if it is of a WebSocket.
    return told === undefined ? peer.scheme === 'https' : told === 'https' || told === 'wss';
  }

  peerOf(socket: Known): Peer {
    return (socket[kPeer] ??= this.#inspect(socket.remoteAddress ?? '', socket.encrypted === true));
  }

  /**
   * A trusted proxy passes on the connection of a client, and what it carries, unseen. It counts as the client's from now on;
   * `unknown`: as that of somebody, who is not the proxy.
   */
  proxied(socket: Known, source: { readonly address: string } | 'unknown' | 'proxy'): void {
    if (source === 'proxy') return;
    socket[kPeer] = this.#inspect(source === 'unknown' ? '' : source.address, false);
  }

  /** `socket` speaks TLS over `below` and has the same other end. */
  secured(below: Known, socket: Known): void {
    socket[kPeer] = { ...this.peerOf(below), scheme: 'https', host: '', forwarded: '' };
  }

  #inspect(remote: string, isEncrypted: boolean): Peer {
    const address = ipv4Mapped.exec(remote)?.[1] ?? remote;
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    const node = address === '' ? 'unknown' : family === 'ipv6' ? `"[${address}]"` : address;
    const trusted = address !== '' && this.#trusted.check(address, family);
    return {
      address: address || 'unknown',
      client: prefixOf(address || 'unknown'),
      node,
      trusted,
      scheme: isEncrypted ? 'https' : 'http',
      since: performance.now(),
      host: '',
      forwarded: '',
    };
  }
}

/** The addresses in X-Forwarded-For, the last one first. */
function hopsOf(headers: readonly string[] | undefined): string[] {
  const list = listIn(headers, 'x-forwarded-for');
  return list === undefined ? [] : list.split(',').slice(-mostProxies).toReversed();
}

/** The scheme that the first proxy was asked over, in lower case. */
function schemeIn(headers: readonly string[] | undefined): string | undefined {
  const list = listIn(headers, 'x-forwarded-proto');
  if (list !== undefined) return list.split(',', 1)[0]?.trim().toLowerCase();
  const forwarded = listIn(headers, 'forwarded');
  const hops = forwarded === undefined ? undefined : readForwarded(forwarded);
  return hops?.find(({ proto }) => proto !== undefined)?.proto?.toLowerCase();
}

/** All values of a header as one list; undefined if there is none. */
function listIn(headers: readonly string[] = [], name: string): string | undefined {
  let list: string | undefined;
  for (let index = 0; index < headers.length; index += 2) {
    if ((headers[index] as string).toLowerCase() !== name) continue;
    const value = headers[index + 1] as string;
    list = list === undefined ? value : `${list},${value}`;
  }
  return list;
}

/** The /64 of an IPv6 address; any other address unchanged. */
export function prefixOf(address: string): string {
  const ipv4 = ipv4Mapped.exec(address)?.[1];
  if (ipv4 !== undefined || !isIPv6(address)) return ipv4 ?? address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const groups = (part: string) => part.split(':').filter(Boolean);
  const first = groups(head);
  const last = tail === undefined ? [] : groups(tail);
  const missing = tail === undefined ? 0 : 8 - first.length - last.length - (tail.includes('.') ? 1 : 0);
  const whole = [...first, ...Array.from({ length: Math.max(0, missing) }, () => '0'), ...last];
  return `${whole
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}

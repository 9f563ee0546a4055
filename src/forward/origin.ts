import type { Socket } from 'node:net';
import type { Admitted } from './request-headers.js';
import type { Clients, Peer } from './clients.js';
import { addressOf, type Hop, nodeOf, readForwarded, writeForwarded } from './forwarded-list.js';

const continued = new Set(['forwarded', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host']);

/**
 * Tells the app a request's origin in X-Forwarded-For, -Proto, -Host, over TLS -Port, and Forwarded, which agree with each other.
 * Incoming ones count only from a trusted proxy. Source: RFC 7239.
 */
export class Origin {
  readonly #clients: Clients;

  constructor(clients: Clients) {
    this.#clients = clients;
  }

  /** Appends the headers to the flat list `headers`. */
  append(headers: string[], { proxyHeaders, host }: Admitted, socket: Socket): void {
    const peer = this.#clients.peerOf(socket);
    const forwarded = forwardedBy(peer, host);
    const isFirst = proxyHeaders === undefined || !peer.trusted;
    if (isFirst) {
      headers.push(
        'X-Forwarded-For',
        peer.address,
        'X-Forwarded-Proto',
        peer.scheme,
        'X-Forwarded-Host',
        host,
        'Forwarded',
        forwarded,
      );
    } else appendTold(headers, proxyHeaders, peer, host);
    // An app that makes links from scheme and port would otherwise take its own port. A proxy has told its own, or none.
    if (isFirst && peer.scheme === 'https') headers.push('X-Forwarded-Port', portOf(host));
  }
}

/** Of a host that was asked for over TLS. */
function portOf(host: string): string {
  return /:(\d+)$/.exec(host)?.[1] ?? '443';
}

function forwardedBy(peer: Peer, host: string): string {
  if (peer.host === host) return peer.forwarded;
  peer.host = host;
  peer.forwarded = `for=${peer.node};host="${host}";proto=${peer.scheme}`;
  return peer.forwarded;
}

/**
 * Appends what a trusted proxy tells, and its own address after it. What came in one form only is told in both, or left out of
 * the other. The hop to this dispatcher has the host and scheme that were told, so that an app that reads the first element of a
 * list agrees with one that reads the last.
 */
function appendTold(headers: string[], proxyHeaders: readonly string[], peer: Peer, host: string): void {
  const told = collect(proxyHeaders, headers);
  const proxy = nodeOf(peer.address);
  const written = told.get('forwarded');
  const hops = written === undefined ? undefined : readForwarded(written);
  const firstOf = (key: 'host' | 'proto') => hops?.find((hop) => hop[key] !== undefined)?.[key];
  const tells = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'].some((name) => told.has(name));
  const proto = told.get('x-forwarded-proto') ?? (tells ? undefined : firstOf('proto')) ?? peer.scheme;
  const forHost = told.get('x-forwarded-host') ?? (tells ? undefined : firstOf('host')) ?? host;
  const before = told.get('x-forwarded-for') ?? (tells ? undefined : addressesOf(hops));
  headers.push(
    ...['X-Forwarded-For', before === undefined ? peer.address : `${before}, ${peer.address}`],
    ...['X-Forwarded-Proto', proto],
    ...['X-Forwarded-Host', forHost],
  );
  const last = hops?.at(-1);
  const all: readonly (Hop | undefined)[] =
    hops === undefined
      ? chainOf(before, proxy, { host: forHost, proto })
      : [
          ...hops,
          { ...(proxy !== undefined && { for: proxy }), host: last?.host ?? forHost, proto: last?.proto ?? proto },
        ];
  const forwarded = all.includes(undefined) ? undefined : writeForwarded(all as readonly Hop[]);
  if (forwarded !== undefined) headers.push('Forwarded', forwarded);
}

function addressesOf(hops: readonly Hop[] | undefined): string | undefined {
  const addresses = hops?.flatMap((hop) => (hop.for === undefined ? [] : [addressOf(hop.for)])) ?? [];
  return addresses.length > 0 ? addresses.join(', ') : undefined;
}

/** The hops of an X-Forwarded-For, all with the host and scheme `told`; undefined for each that is no address. */
function chainOf(before: string | undefined, proxy: string | undefined, told: Hop): (Hop | undefined)[] {
  const nodes = before?.split(',').map((address) => nodeOf(address.trim())) ?? [];
  return [...nodes, proxy].map((node) => (node === undefined ? undefined : { for: node, ...told }));
}

/** The headers that are continued, repeats as one list (RFC 9110 §5.3); all others go to `headers` unchanged. */
function collect(proxyHeaders: readonly string[], headers: string[]): Map<string, string> {
  const collected = new Map<string, string>();
  for (let index = 0; index < proxyHeaders.length; index += 2) {
    const name = proxyHeaders[index] as string;
    const value = proxyHeaders[index + 1] as string;
    const lower = name.toLowerCase();
    if (!continued.has(lower)) {
      headers.push(name, value);
      continue;
    }
    const before = collected.get(lower);
    collected.set(lower, before === undefined ? value : `${before}, ${value}`);
  }
  return collected;
}

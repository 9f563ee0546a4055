import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clients, Peer } from '../forward/clients.js';

/** Why a connection was closed: too many in all, too many of its client, or to make room for another. */
export type CloseCause = 'limit' | 'client_limit' | 'room';

export interface ConnectionBoundsOptions {
  readonly max: number;
  /** For one client; trusted proxies are exempt. */
  readonly maxPerClient: number;
  readonly clients: Pick<Clients, 'peerOf' | 'secured'>;
  readonly onClosed: (cause: CloseCause, address: string) => void;
}

/** Connections looked at when room is needed, the one looked at longest ago first. */
const looks = 64;

type Known = Socket & { readonly _httpMessage?: ServerResponse | null };

/**
 * Bounds the connections of clients over all addresses of the process. If there are too many, an idle one is closed, of the client
 * that has most among those looked at; if none is idle, the new one is closed. `server.maxConnections` is no alternative: it
 * closes the new one, however many are idle.
 */
export class ConnectionBounds {
  readonly #options: ConnectionBoundsOptions;
  readonly #max: number;
  readonly #maxPerClient: number;
  /** Each with all of its client; undefined for those of a trusted proxy. */
  readonly #open = new Map<Socket, Set<Socket> | undefined>();
  /** The connections of each client, in the order in which they are looked at when room is needed. */
  readonly #byClient = new Map<string, Set<Socket>>();
  /** Connections that have left HTTP, and are in use as long as they are open. */
  readonly #leftHttp = new WeakSet<Socket>();
  /** Of connections that carry many requests at a time, whether they are idle. */
  readonly #shared = new WeakMap<Socket, { readonly isIdle: boolean }>();

  constructor(options: ConnectionBoundsOptions) {
    this.#options = options;
    this.#max = options.max;
    // One client alone never has all connections.
    this.#maxPerClient = Math.min(options.maxPerClient, Math.ceil(options.max / 2));
  }

  get max(): number {
    return this.#max;
  }

  get open(): number {
    return this.#open.size;
  }

  /** Takes a new connection, or one of a proxy whose client is known now; or closes it and returns false. */
  take(socket: Socket): boolean {
    const { clients, onClosed } = this.#options;
    const isKnown = this.#open.delete(socket);
    const peer = clients.peerOf(socket);
    const cause = this.#refusal(peer);
    if (cause !== undefined) {
      socket.destroy();
      onClosed(cause, peer.address);
      return false;
    }
    const siblings = peer.trusted ? undefined : (this.#byClient.get(peer.client) ?? new Set());
    this.#open.set(socket, siblings?.add(socket));
    if (siblings) this.#byClient.set(peer.client, siblings);
    if (!isKnown) socket.once('close', () => this.#forget(socket));
    return true;
  }

  /** From now on HTTP over `below` is that of `socket`, which is one with it. */
  carries(below: Socket, socket: Socket): void {
    if (below === socket || !this.#open.has(below)) return;
    const siblings = this.#open.get(below);
    this.#open.delete(below);
    this.#open.set(socket, siblings);
    if (siblings?.delete(below)) siblings.add(socket);
    // Known while it is open: once it has closed it has no address.
    this.#options.clients.secured(below, socket);
    socket.once('close', () => this.#forget(socket));
  }

  /** The connection was upgraded: it counts as in use, although no request is under way on it. */
  leavesHttp(socket: Socket): void {
    this.#leftHttp.add(socket);
  }

  /** The connection speaks HTTP/2. */
  speaksHttp2(socket: Socket, connection: { readonly isIdle: boolean }): void {
    this.#shared.set(socket, connection);
  }

  #refusal({ client, trusted }: Peer): CloseCause | undefined {
    const siblings = trusted ? undefined : this.#byClient.get(client);
    if (siblings && siblings.size >= this.#maxPerClient && !this.#makeRoom(siblings)) return 'client_limit';
    if (this.#open.size >= this.#max && !this.#makeRoom(this.#open.keys())) return 'limit';
    return undefined;
  }

  #makeRoom(sockets: Iterable<Socket>): boolean {
    const seen: Socket[] = [];
    for (const socket of sockets) if (seen.push(socket) >= looks) break;
    let idle: Socket | undefined;
    let most = 0;
    for (const socket of seen) {
      const siblings = this.#open.get(socket);
      if (siblings && siblings.size > most && this.#isIdle(socket)) {
        idle = socket;
        most = siblings.size;
      }
      this.#lookAgainLater(socket, siblings);
    }
    if (!idle) return false;
    const { address } = this.#options.clients.peerOf(idle);
    this.#forget(idle);
    idle.destroy();
    this.#options.onClosed('room', address);
    return true;
  }

  #lookAgainLater(socket: Socket, siblings: Set<Socket> | undefined): void {
    this.#open.delete(socket);
    this.#open.set(socket, siblings);
    if (siblings?.delete(socket)) siblings.add(socket);
  }

  /** A connection is idle as soon as its answer was written whole, even if it is still being delivered. */
  #isIdle(socket: Known): boolean {
    const shared = this.#shared.get(socket);
    if (shared) return shared.isIdle;
    const answer = socket._httpMessage;
    return (!answer || answer.writableEnded) && !this.#leftHttp.has(socket);
  }

  #forget(socket: Socket): void {
    const siblings = this.#open.get(socket);
    if (!this.#open.delete(socket) || !siblings) return;
    siblings.delete(socket);
    if (siblings.size === 0) this.#byClient.delete(this.#options.clients.peerOf(socket).client);
  }
}

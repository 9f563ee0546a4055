import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clients, Peer } from '../forward/clients.js';

/** Why a connection was closed: all that may be open are, the client has all that it may have, or another needed its room. */
export type CloseCause = 'limit' | 'client_limit' | 'room';

export interface ConnectionBoundsOptions {
  readonly max: number;
  /** For one client; trusted proxies may have as many as there are. */
  readonly maxPerClient: number;
  readonly clients: Pick<Clients, 'peerOf'>;
  readonly onClosed: (cause: CloseCause, address: string) => void;
}

/** When room is needed, so many connections are looked at, the one looked at least lately first. */
const looks = 64;

type Known = Socket & { readonly _httpMessage?: ServerResponse | null };

/**
 * The connections of clients, over all addresses that the process listens on. If one more is one too many, one without a
 * request under way goes instead of it: of the client that has most, as far as it looks; if there is none, the new one does. Not by
 * `server.maxConnections`: among several workers, node:cluster hands a connection that one refuses to the next, round and round.
 */
export class ConnectionBounds {
  readonly #options: ConnectionBoundsOptions;
  readonly #max: number;
  readonly #maxPerClient: number;
  /** With those of the same client, itself among them; a trusted proxy is none. */
  readonly #open = new Map<Socket, Set<Socket> | undefined>();
  /** Of each client, in the order in which they are looked at when room is needed. */
  readonly #byClient = new Map<string, Set<Socket>>();
  /** Have left HTTP, and are in use for as long as they are open. */
  readonly #leftHttp = new WeakSet<Socket>();

  constructor(options: ConnectionBoundsOptions) {
    this.#options = options;
    this.#max = options.max;
    // One client alone never has all there is.
    this.#maxPerClient = Math.min(options.maxPerClient, Math.ceil(options.max / 2));
  }

  get max(): number {
    return this.#max;
  }

  get open(): number {
    return this.#open.size;
  }

  /** Takes a new connection, or closes it and returns false. */
  take(socket: Socket): boolean {
    const { clients, onClosed } = this.#options;
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
    socket.once('close', () => this.#forget(socket));
    return true;
  }

  /** An upgraded connection has no request under way that could be seen. */
  leavesHttp(socket: Socket): void {
    this.#leftHttp.add(socket);
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

  /** An answer that was given whole is only being delivered. */
  #isIdle(socket: Known): boolean {
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

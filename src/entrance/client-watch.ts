import type { Socket } from 'node:net';
import { ClientConnection } from '../forward/client-connection.js';
import { type TcpState, tcpStates } from '../machine/tcp-table.js';

const periodMs = 500;
/** Reading the system's table takes at most a tenth of the time, but no pause between two readings is longer than this. */
const restFactor = 9;
const longestRestMs = 1_500;

/**
 * Notices clients that have gone although no event says so: the end of a connection that nothing reads from (a body that waits, a
 * pipelined request, early bytes before a switch of protocols) is hidden behind unread bytes. Such connections are looked up in
 * the system's table. A client that ended only its side has a moment for its answer, and more while the answer is coming.
 */
export class ClientWatch {
  readonly #connections = new Set<ClientConnection>();
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #restUntil = 0;

  add(socket: Socket): void {
    const connection = new ClientConnection(socket);
    this.#connections.add(connection);
    this.#timer ??= setInterval(() => this.#tick(), periodMs).unref();
    socket.once('close', () => this.#remove(connection));
  }

  #remove(connection: ClientConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const unread: ClientConnection[] = [];
    for (const connection of this.#connections) if (connection.tick()) unread.push(connection);
    if (unread.length > 0 && !this.#isLooking && performance.now() >= this.#restUntil) void this.#look(unread);
  }

  async #look(connections: ClientConnection[]): Promise<void> {
    const from = performance.now();
    this.#isLooking = true;
    const states = await tcpStates(connections.map(({ socket }) => socket));
    this.#isLooking = false;
    const now = performance.now();
    this.#restUntil = now + Math.min((now - from) * restFactor, longestRestMs);
    for (const connection of connections) {
      const state: TcpState | undefined = states?.get(connection.socket);
      if (state) connection.learn(state);
    }
  }
}

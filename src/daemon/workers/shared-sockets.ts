import { lookup } from 'node:dns/promises';
import net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { formatListenAddress, type ListenAddress } from '../../config/listen-address.js';
import { type Clock, sleep } from '../../model/clock.js';

/** Node's handle of a socket, as much of it as is used here. */
export interface SocketHandle {
  getsockname(to: { port?: number }): number;
  close(): void;
}

/** Opens a socket that is bound and does not listen yet; gives the negative number of the system's error if it cannot. */
type CreateHandle = (address: string, port: number, family: number) => SocketHandle | number;

/** Sockets by the address that the configuration gives them; see formatListenAddress. */
export type Sockets = ReadonlyMap<string, SocketHandle>;

/**
 * As of Node 20 to 26. It is not in Node's documentation, but node:cluster cannot do without it, and nothing documented opens a socket
 * without accepting from it.
 */
const createHandle = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;

/** The workers of a killed supervisor let go of their sockets as soon as they notice. */
const takenMs = 3_000;
const pauseMs = 50;

/**
 * The sockets that all workers listen on and accept from. The supervisor only holds them: they stay open while no worker lives, and what
 * connects meanwhile waits for the next one.
 */
export class SharedSockets {
  readonly #sockets = new Map<string, SocketHandle>();
  #isClosed = false;

  /** Rejects with the system's error if an address cannot be bound; waits a moment for one that is in use. */
  async open(addresses: readonly ListenAddress[], clock: Clock): Promise<void> {
    try {
      for (const address of addresses) {
        this.#sockets.set(formatListenAddress(address), await bind(address, clock));
        if (this.#isClosed) throw new Error('the daemon ends');
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get all(): Sockets {
    return this.#sockets;
  }

  /** Each closes with the last worker that listens on it, at once if there is none. Re-entrant. */
  close(): void {
    this.#isClosed = true;
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }
}

async function bind({ host, port }: ListenAddress, clock: Clock): Promise<SocketHandle> {
  const limit = clock.monotonic() + takenMs;
  const found = host === undefined ? undefined : await lookup(host);
  for (;;) {
    const made = found ? bound(found.address, port, found.family) : onAnyAddress(port);
    if (typeof made !== 'number') return made;
    const code = getSystemErrorName(made);
    if (code !== 'EADDRINUSE' || clock.monotonic() > limit) {
      const error = new Error(`listen ${code}: ${found?.address ?? '*'}:${port}`);
      throw Object.assign(error, { code, syscall: 'listen', address: found?.address, port });
    }
    await sleep(clock, pauseMs);
  }
}

/** On IPv6 and IPv4, or on IPv4 alone if the machine has no IPv6, as net.Server does it. */
function onAnyAddress(port: number): SocketHandle | number {
  const made = bound('::', port, 6);
  return typeof made === 'number' && getSystemErrorName(made) !== 'EADDRINUSE' ? bound('0.0.0.0', port, 4) : made;
}

function bound(address: string, port: number, family: number): SocketHandle | number {
  const made = createHandle(address, port, family);
  if (typeof made === 'number') return made;
  // Binding tells of an address in use only now.
  const fault = made.getsockname({});
  if (fault === 0) return made;
  made.close();
  return fault;
}

import type { Duplex } from 'node:stream';
import { unwatchEnd } from './end-watch.js';

const kEnding = Symbol('ending');

type Ending = Duplex & { [kEnding]?: true; readonly bytesRead?: number };

/** Bounds for reading on from a client after its last answer; the times are nginx's. */
const tickMs = 1_000;
const silentTicks = 5;
const mostTicks = 30;
const mostBytes = 64 * 1024 * 1024;
/** Ticks after which a client that takes nothing is given up. */
const stalledTicks = 30;

/**
 * Ends a connection after what was written to it, and `last`. What the client still sends is read and thrown away within bounds:
 * closed at once, the connection would be reset and the client would lose the answer. Harmless twice.
 */
export function endConnection(socket: Duplex, last = ''): void {
  if (isEnding(socket)) return;
  (socket as Ending)[kEnding] = true;
  unwatchEnd(socket);
  socket.on('error', () => socket.destroy());
  const bounds = new Bounds(socket);
  const timer = setInterval(() => {
    if (bounds.areReached()) socket.destroy();
  }, tickMs).unref();
  socket.once('close', () => clearInterval(timer));
  socket.end(last);
  socket.resume();
}

/** Whether the client's last answer was written, and the connection is ending. */
export function isEnding(socket: Ending): boolean {
  return socket[kEnding] === true;
}

class Bounds {
  readonly #socket: Ending;
  readonly #from: number;
  #read: number;
  #unwritten = Infinity;
  #ticks = 0;
  #silent = 0;
  #stalled = 0;

  constructor(socket: Ending) {
    this.#socket = socket;
    this.#from = this.#read = socket.bytesRead ?? 0;
  }

  /** Call it once per tick. */
  areReached(): boolean {
    const { bytesRead = 0, writableFinished, writableLength } = this.#socket;
    const isSilent = bytesRead === this.#read;
    this.#read = bytesRead;
    if (bytesRead - this.#from > mostBytes) return true;
    if (!writableFinished) {
      this.#stalled = writableLength === this.#unwritten ? this.#stalled + 1 : 0;
      this.#unwritten = writableLength;
      return this.#stalled >= stalledTicks;
    }
    this.#ticks += 1;
    this.#silent = isSilent ? this.#silent + 1 : 0;
    return this.#ticks >= mostTicks || this.#silent >= silentTicks;
  }
}

import type { Socket } from 'node:net';
import { frame, FrameReader } from './frames.js';
import { type Order, protocolVersion, type Report, type Role } from './messages.js';

export interface ConnectionEvents {
  /** Called when the first order came, and has our version. */
  readonly onRole: (role: Role) => void;
  readonly onOrder: (order: Exclude<Order, { kind: 'hello' }>) => void;
  readonly onClosed: () => void;
}

/** Bytes that the reader has not taken yet, beyond which only exits are reported, but no output. */
const mostWaiting = 1024 * 1024;

/** A keeper's connection to a dispatcher. Anything but an order closes it. */
export class Connection {
  role: Role | undefined;
  readonly #socket: Socket;
  readonly #events: ConnectionEvents;
  readonly #reader = new FrameReader();

  constructor(socket: Socket, events: ConnectionEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on('data', (piece: Buffer) => this.#read(piece));
    socket.on('error', () => {});
    socket.once('close', events.onClosed);
    // A dispatcher that ends its side waits for no answer.
    socket.once('end', () => socket.destroy());
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && !this.#socket.readableEnded;
  }

  /** Whether the dispatcher reads fast enough for more output. */
  get keepsUp(): boolean {
    return this.#socket.writableLength < mostWaiting;
  }

  tell(report: Report): void {
    if (!this.#socket.destroyed) this.#socket.write(frame(report));
  }

  /** Resolves when all reports have been handed over, or cannot be. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve();
      this.#socket.once('close', resolve);
      this.#socket.end(() => this.#socket.destroy());
    });
  }

  #read(piece: Buffer): void {
    try {
      for (const message of this.#reader.push(piece)) this.#hear(message as Order);
    } catch {
      this.#socket.destroy();
    }
  }

  #hear(order: Order): void {
    if (this.#socket.destroyed) return;
    if (!isOrder(order)) throw new Error('no order of this version');
    if (order.kind !== 'hello') {
      if (this.role === undefined) throw new Error('an order before hello');
      return this.#events.onOrder(order);
    }
    if (this.role !== undefined) throw new Error('hello twice');
    this.role = order.role;
    this.#events.onRole(order.role);
  }
}

function isOrder(order: Order): boolean {
  switch (order?.kind) {
    case 'hello':
      return order.v === protocolVersion && ['owner', 'heir', 'guest'].includes(order.role);
    case 'start':
      return (
        Number.isInteger(order.order) &&
        [order.id, order.app, order.command?.program].every((text) => typeof text === 'string') &&
        Array.isArray(order.command.args) &&
        typeof order.command.env === 'object'
      );
    case 'release':
      return Number.isInteger(order.order) && typeof order.id === 'string';
    default:
      return false;
  }
}

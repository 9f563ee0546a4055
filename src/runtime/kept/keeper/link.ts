import type { Socket } from 'node:net';
import type { Clock } from '../../../model/clock.js';
import type { ProcessIdentity } from '../../../machine/proc-fs.js';
import type { Command } from '../child.js';
import { frame, FrameReader } from './frames.js';
import { type Exited, type Kept, type Order, protocolVersion, type Report, type Role } from './messages.js';

export interface LinkOptions {
  readonly name: string;
  readonly socket: Socket;
  readonly role: Role;
  readonly clock: Clock;
}

export interface LinkEvents {
  readonly onExit: (exited: Exited) => void;
  readonly onOutput: (output: Extract<Report, { kind: 'output' }>) => void;
  readonly onFault: (message: string) => void;
}

/** The keeper has ended or cannot be reached, and may have carried out the order or not. */
export class KeeperLostError extends Error {}

/** The keeper runs but does not answer. */
export class KeeperSilentError extends Error {}

/** Limit of each answer; even a new keeper is ready in a fraction of a second. */
const answerLimitMs = 15_000;

/** A dispatcher's connection to a keeper. */
export class Link {
  readonly name: string;
  /** Resolves when the keeper has listed its apps; never if it ends before. */
  readonly ready: Promise<void>;
  /** Resolves when the connection is closed and no event will follow. */
  readonly closed: Promise<void>;
  /** Its apps by instance id, including ended ones until they are released. */
  readonly kept = new Map<string, Kept>();
  /** The last fault that it reported. */
  fault: string | undefined;
  /** The system's code for why the connection failed; undefined if it did not, or was just closed. */
  errorCode: string | undefined;
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  readonly #reader = new FrameReader();
  readonly #waiting = new Map<number, { resolve(report: Report): void; reject(error: Error): void; id: string }>();
  readonly #beReady: () => void;
  #lastOrder = 0;
  #isClosed = false;

  constructor(options: LinkOptions, events: LinkEvents) {
    const { name, socket, role } = options;
    this.name = name;
    this.#options = options;
    this.#events = events;
    const { promise, resolve } = withResolvers();
    this.ready = promise;
    this.#beReady = resolve;
    this.closed = new Promise((closed) => {
      socket.once('close', () => {
        this.#onClosed();
        closed();
      });
    });
    socket.on('data', (piece: Buffer) => this.#read(piece));
    socket.on('error', ({ code }: NodeJS.ErrnoException) => (this.errorCode = code));
    // Only an order that waits for an answer keeps this process alive.
    socket.unref();
    this.#say({ kind: 'hello', v: protocolVersion, role });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether one of its apps runs or an order is under way. */
  get isNeeded(): boolean {
    return this.#waiting.size > 0 || [...this.kept.values()].some(({ cause }) => cause === undefined);
  }

  /**
   * Starts an app; resolves once it runs. Rejects with the system's error if the command cannot be run, a KeeperLostError if the keeper
   * has ended, or a KeeperSilentError if it does not answer; if it starts the app later, it ends it at once.
   */
  async start(id: string, app: string, command: Command): Promise<ProcessIdentity> {
    const order = this.#nextOrder();
    const report = await this.#ask(id, { kind: 'start', order, id, app, command });
    if (report.kind === 'started') return report.process;
    const { message, code } = report as Extract<Report, { kind: 'failed' }>;
    throw Object.assign(new Error(message), { code });
  }

  /** Sends the order `release`. Resolves when it is carried out, or if the keeper has ended. */
  async release(id: string): Promise<void> {
    const order = this.#nextOrder();
    await this.#ask(id, { kind: 'release', order, id }).catch((error: unknown) => {
      if (!(error instanceof KeeperLostError)) throw error;
    });
    this.kept.delete(id);
  }

  /** Lets this process end unless an order waits for an answer. */
  beIdle(): void {
    if (this.#waiting.size === 0) this.#options.socket.unref();
  }

  /** Closes the connection. Re-entrant. */
  async close(): Promise<void> {
    this.#options.socket.ref().destroySoon();
    await this.closed;
  }

  #ask(id: string, order: Order & { readonly order: number }): Promise<Report> {
    const { socket, clock } = this.#options;
    if (this.#isClosed) return Promise.reject(new KeeperLostError('the keeper of apps has ended'));
    return new Promise((resolve, reject) => {
      const limit = clock.after(answerLimitMs, () => {
        this.#settle(order.order)?.reject(new KeeperSilentError('the keeper of apps does not answer'));
        // However late it reads the order, it reads this afterwards.
        if (order.kind === 'start') this.#say({ kind: 'release', order: this.#nextOrder(), id });
      });
      this.#waiting.set(order.order, {
        id,
        resolve: (report) => {
          limit.cancel();
          resolve(report);
        },
        reject: (error) => {
          limit.cancel();
          reject(error);
        },
      });
      socket.ref();
      this.#say(order);
    });
  }

  #nextOrder(): number {
    return (this.#lastOrder += 1);
  }

  #say(order: Order): void {
    this.#options.socket.write(frame(order));
  }

  #read(piece: Buffer): void {
    try {
      for (const report of this.#reader.push(piece)) this.#hear(report as Report);
    } catch (error) {
      this.#events.onFault(`what the keeper says cannot be read: ${(error as Error).message}`);
      this.#options.socket.destroy();
    }
  }

  #hear(report: Report): void {
    switch (report.kind) {
      case 'hello':
        if (report.v !== protocolVersion) throw new Error(`version ${report.v} is not ${protocolVersion}`);
        for (const kept of report.kept) this.kept.set(kept.id, kept);
        return this.#beReady();
      case 'started':
      case 'failed':
      case 'released': {
        const waiting = this.#settle(report.order);
        if (report.kind === 'started' && waiting) {
          this.kept.set(waiting.id, { id: waiting.id, app: '', process: report.process });
        }
        return waiting?.resolve(report);
      }
      case 'exited':
        this.kept.set(report.id, report);
        return this.#events.onExit(report);
      case 'output':
        return this.#events.onOutput(report);
      case 'fault':
        this.fault = report.message;
        return this.#events.onFault(report.message);
      default:
        // Unknown: ignored, as a later keeper may have added it within this version.
        return;
    }
  }

  #settle(order: number) {
    const waiting = this.#waiting.get(order);
    this.#waiting.delete(order);
    this.beIdle();
    return waiting;
  }

  #onClosed(): void {
    this.#isClosed = true;
    for (const order of [...this.#waiting.keys()]) {
      this.#settle(order)?.reject(new KeeperLostError(this.fault ?? 'the keeper of apps has ended'));
    }
  }
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((resolved) => (resolve = resolved));
  return { promise, resolve };
}

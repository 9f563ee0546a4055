import { writeFileSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import type { Command } from '../child.js';
import { Connection } from './connection.js';
import { KeptApp } from './kept-app.js';
import { type Order, protocolVersion, type Report } from './messages.js';
import { outputPaths } from './output-file.js';
import type { Pipes } from './pipes.js';
import { Rate } from '../../output/rate.js';

export interface KeeperOptions {
  readonly pipes: Pipes;
  readonly output: { readonly directory: string; readonly maxBytes: number };
  /** Runs a function that forks. */
  readonly fork: <T>(run: () => T) => T;
  /** Whether its dispatcher is still its parent. */
  readonly hasParent: () => boolean;
  /** Called when nothing is left to do: no app runs and its dispatcher is gone. */
  readonly onDone: () => void;
}

/** Limits of what all apps write together. */
const bytesPerSecond = 16 * 1024 * 1024;
const burstBytes = 64 * 1024 * 1024;
/** Limits of the output of one app that is sent to a dispatcher, which cuts it further for the log. */
const toldPerSecond = 64 * 1024;
const toldBurst = 256 * 1024;
const faultPauseMs = 10_000;

/** Keeps the apps that a dispatcher started, and serves the dispatchers that ask for them: its own and later ones. */
export class Keeper {
  readonly #options: KeeperOptions;
  readonly #rateOfAll = new Rate(bytesPerSecond, burstBytes, () => performance.now());
  readonly #apps = new Map<string, KeptApp>();
  readonly #connections = new Set<Connection>();
  #owner: Connection | undefined;
  /** Starts under way, by instance id. */
  readonly #starting = new Map<string, Promise<Report>>();
  #faultAt = -Infinity;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Serves the connection of its own dispatcher, which may have ended while this process started. */
  serveOwner(socket: Socket): void {
    if (socket.destroyed) this.#options.onDone();
    else this.#owner = this.#serve(socket);
  }

  /** Serves dispatchers that connect to its socket. */
  listen(server: Server): void {
    server.on('connection', (socket) => this.#serve(socket));
  }

  /** Sends an error to the watching dispatcher's log; rate-limited, as the same error may come again and again. */
  fault(error: Error): void {
    if (performance.now() < this.#faultAt + faultPauseMs) return;
    this.#faultAt = performance.now();
    this.#watcher()?.tell({ kind: 'fault', message: error.message });
  }

  /** Leaves notes on exits that no dispatcher was told of, and closes all connections. */
  async close(): Promise<void> {
    if (!this.#watcher()) for (const app of this.#apps.values()) this.#leaveNote(app);
    await Promise.all([...this.#connections].map((connection) => connection.close()));
  }

  #serve(socket: Socket): Connection {
    const connection: Connection = new Connection(socket, {
      onRole: (role) => {
        // There is only one owner, which does not connect by the socket.
        if (role === 'owner' && connection !== this.#owner) connection.role = 'guest';
        connection.tell({ kind: 'hello', v: protocolVersion, kept: [...this.#apps.values()].map(({ kept }) => kept) });
        if (connection === this.#watcher()) this.#tellExits(connection);
      },
      onOrder: (order) => void this.#obey(order, connection),
      onClosed: () => this.#onClosed(connection),
    });
    this.#connections.add(connection);
    return connection;
  }

  async #obey(order: Exclude<Order, { kind: 'hello' }>, connection: Connection): Promise<void> {
    if (order.kind === 'release') {
      await this.#release(order.id);
      connection.tell({ kind: 'released', order: order.order });
    } else {
      const starting = this.#start(order, connection);
      this.#starting.set(order.id, starting);
      connection.tell(await starting.finally(() => this.#starting.delete(order.id)));
    }
    this.#endIfDone();
  }

  async #start(order: Extract<Order, { kind: 'start' }>, connection: Connection): Promise<Report> {
    const { id, app, command } = order;
    try {
      if (this.#apps.has(id) || this.#starting.has(id)) throw new Error(`instance ${id} is running already`);
      const kept = await this.#startApp(id, app, command, connection);
      this.#apps.set(id, kept);
      return { kind: 'started', order: order.order, process: kept.process };
    } catch (error) {
      const { message, code } = error as NodeJS.ErrnoException;
      return { kind: 'failed', order: order.order, message, code };
    }
  }

  #startApp(id: string, app: string, command: Command, connection: Connection): Promise<KeptApp> {
    const { pipes, output, fork, hasParent } = this.#options;
    // An order that outlives its dispatcher must not start an app that nothing waits for.
    const forkIfAwaited = <T>(run: () => T): T => {
      if (connection !== this.#owner || !connection.isOpen || !hasParent()) throw new Error('its dispatcher has ended');
      return fork(run);
    };
    return KeptApp.start(
      {
        ...{ id, app, command, pipes, output, rateOfAll: this.#rateOfAll, fork: forkIfAwaited },
        onData: (kept, bytes) => this.#tellOutput(kept, bytes),
        onExit: (kept) => this.#onExit(kept),
        onFault: (error) => this.fault(error),
      },
      new Rate(toldPerSecond, toldBurst, () => performance.now()),
    );
  }

  async #release(id: string): Promise<void> {
    await this.#starting.get(id);
    const app = this.#apps.get(id);
    if (!app) return;
    await app.release().catch((error: Error) => this.fault(error));
    this.#apps.delete(id);
  }

  /** The dispatcher that gets reports: its own, or else the first heir. */
  #watcher(): Connection | undefined {
    const { role } = this.#owner ?? {};
    if (this.#owner) return role === undefined ? undefined : this.#owner;
    return [...this.#connections].find((connection) => connection.role === 'heir' && connection.isOpen);
  }

  #onExit(app: KeptApp): void {
    this.#tellExit(this.#watcher(), app, false);
    this.#endIfDone();
  }

  #tellExits(connection: Connection): void {
    for (const app of this.#apps.values()) this.#tellExit(connection, app, true);
  }

  #tellExit(connection: Connection | undefined, { kept }: KeptApp, late: boolean): void {
    if (kept.cause !== undefined) connection?.tell({ kind: 'exited', ...kept, cause: kept.cause, late });
  }

  #tellOutput(app: KeptApp, bytes: Buffer): void {
    const watcher = this.#watcher();
    if (!watcher) return;
    if (!watcher.keepsUp || !app.toldRate.take(bytes.length)) {
      app.untold += bytes.length;
      return;
    }
    watcher.tell({
      kind: 'output',
      id: app.id,
      app: app.app,
      data: bytes.toString('base64'),
      lost: app.untold,
    });
    app.untold = 0;
  }

  #onClosed(connection: Connection): void {
    const watched = connection === this.#owner || connection.role === 'heir';
    this.#connections.delete(connection);
    if (connection === this.#owner) this.#owner = undefined;
    const watcher = this.#watcher();
    if (watched && watcher) this.#tellExits(watcher);
    this.#endIfDone();
  }

  #endIfDone(): void {
    const runs = [...this.#apps.values()].some(({ hasEnded }) => !hasEnded);
    if (!this.#owner && !runs && this.#starting.size === 0) this.#options.onDone();
  }

  #leaveNote({ id, cause }: KeptApp): void {
    if (cause === undefined) return;
    try {
      writeFileSync(outputPaths(this.#options.output.directory, id).exit, cause, { mode: 0o600 });
    } catch {
      // Without a note the exit counts as unwatched.
    }
  }
}

import type { Logger } from 'pino';
import type { LogLevel } from '../../config/config.js';
import { createWorkerNode, type WorkerNode } from '../daemon.js';
import { AskedCertificates } from './asked-certificates.js';
import { type Answers, type Order, type Report, toStartError } from './messages.js';
import type { SocketHandle } from './shared-sockets.js';

type CreateLogger = (level: LogLevel, pretty: boolean) => Promise<Logger>;
type StartOrder = Extract<Order, { kind: 'start' }>;

/** A worker whose supervisor is gone, or that met an error nobody caught, ends in this time beyond its drain. */
const endMs = 5_000;

/** One worker's life, led by the orders of its supervisor; resolves to the exit code. */
export function runWorker(createLogger: CreateLogger): Promise<number> {
  return new Promise((end) => new Worker(createLogger, end));
}

class Worker {
  readonly #createLogger: CreateLogger;
  readonly #exit: (code: number) => void;
  #logger: Logger | undefined;
  /** What it listens on, by address. */
  readonly #sockets = new Map<string, SocketHandle>();
  #node: WorkerNode | undefined;
  #started: Promise<void> | undefined;
  #appliedTo: string | undefined;
  #ticketKeys = Buffer.alloc(0);
  readonly #certificates = new AskedCertificates((report) => this.#report(report));
  #ending = false;

  constructor(createLogger: CreateLogger, exit: (code: number) => void) {
    this.#createLogger = createLogger;
    this.#exit = exit;
    process.on('message', (order: Order, socket: unknown) => this.#obey(order, socket));
    process.once('disconnect', () => this.#orphaned());
    process.on('uncaughtException', (error: Error) => this.#fatal(error));
    process.on('unhandledRejection', (error: Error) => this.#fatal(error));
    this.#report({ kind: 'hears' });
    // A terminal and a service manager may signal the whole group: what it means is the supervisor's to say.
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => this.#ignore(signal));
  }

  #obey(order: Order, socket: unknown): void {
    switch (order.kind) {
      case 'socket':
        return void this.#sockets.set(order.address, socket as SocketHandle);
      case 'start':
        this.#started = this.#start(order);
        return;
      case 'reload':
        return void this.#reload(order);
      case 'applied':
        this.#appliedTo = order.identity;
        return this.#node?.applied(order.identity);
      case 'ask':
        return void this.#answer(order.id, order.what);
      case 'see':
        return void this.#see(order);
      case 'certificate':
        return this.#certificates.answered(order);
      case 'certificates-changed':
        return void this.#node?.certificatesChanged();
      case 'ticket-keys':
        this.#ticketKeys = Buffer.from(order.keys, 'base64');
        return this.#node?.setTicketKeys(this.#ticketKeys);
      case 'peer-died':
        return void this.#node?.peerDied();
      case 'close':
        return this.#end(() => this.#node?.close());
      case 'destroy':
        return this.#end(() => this.#node?.destroy());
      default:
        // A message of another program on this channel, such as a debugger.
        return;
    }
  }

  async #start(order: StartOrder): Promise<void> {
    const { slot, config, version, pretty, heartbeatMs, timing } = order;
    const heartbeat = setInterval(() => this.#beat(), heartbeatMs);
    try {
      const logger = (await this.#createLogger(config.log.level, pretty)).child({ worker: slot });
      this.#logger = logger;
      const tls = { certificates: this.#certificates, ticketKeys: this.#ticketKeys };
      const told = { config, logger, version, sockets: this.#sockets, ...(timing && { timing }) };
      this.#node = createWorkerNode(told, tls);
      this.#node.applied(this.#appliedTo);
      this.#beat();
      const addresses = await this.#node.start();
      this.#beat();
      this.#report({ kind: 'listening', ...addresses });
    } catch (error) {
      this.#report({ kind: 'failed', error: toStartError(error) });
      this.#logger?.debug({ err: error }, 'this worker cannot start');
      clearInterval(heartbeat);
      await this.#node?.destroy().catch(() => {});
      this.#exit(1);
    }
  }

  async #reload({ id, level, apps }: Extract<Order, { kind: 'reload' }>): Promise<void> {
    try {
      await this.#started;
      if (apps) await this.#node?.reload(apps);
      if (this.#logger) this.#logger.level = level;
      this.#report({ kind: 'answer', id, value: null });
    } catch (error) {
      this.#report({ kind: 'refused', id, message: error instanceof Error ? error.message : String(error) });
    }
  }

  async #see({ id, app }: Extract<Order, { kind: 'see' }>): Promise<void> {
    try {
      await this.#started;
      await this.#node?.see(app);
      this.#report({ kind: 'answer', id, value: null });
    } catch (error) {
      this.#report({ kind: 'refused', id, message: error instanceof Error ? error.message : String(error) });
    }
  }

  async #answer(id: number, what: keyof Answers): Promise<void> {
    const node = this.#node;
    if (!node) return;
    const value = what === 'activity' ? [...node.activity()] : await node.metrics.registry.getMetricsAsJSON();
    this.#report({ kind: 'answer', id, value });
  }

  #beat(): void {
    this.#report({ kind: 'alive', checks: this.#node?.checks() ?? {} });
  }

  #orphaned(): void {
    this.#logger?.warn('the supervisor is gone: draining and ending; containers run on');
    this.#certificates.end();
    setTimeout(() => this.#exit(1), (this.#node?.drainMs ?? 0) + endMs);
    this.#end(() => this.#node?.close());
  }

  #fatal(error: Error): void {
    this.#logger?.fatal({ err: error }, 'an error nobody caught: this worker ends at once, containers run on');
    setTimeout(() => this.#exit(1), endMs);
    this.#end(() => this.#node?.destroy(), 1);
  }

  #end(work: () => Promise<void> | undefined, code = 0): void {
    if (this.#ending && code === 0) return;
    this.#ending = true;
    Promise.resolve(work()).then(
      () => this.#exit(code),
      (error: unknown) => {
        this.#logger?.error({ err: error }, 'could not end cleanly');
        this.#exit(1);
      },
    );
  }

  #ignore(signal: string): void {
    if (this.#ending) return;
    this.#logger?.debug({ signal }, `${signal} to a worker is ignored: send it to the supervisor, pid ${process.ppid}`);
  }

  #report(report: Report): void {
    if (process.connected) process.send?.(report, undefined, undefined, () => {});
  }
}

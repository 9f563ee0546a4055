import type { Logger } from 'pino';
import type { CertificateSource } from '../../model/certificate.js';
import type { Clock, Timer } from '../../model/clock.js';
import type { ReplacementReason } from '../../telemetry/worker-metrics.js';
import type { Addresses } from '../daemon.js';
import type { Order, Reload } from './messages.js';
import { countDeath, type EarlyDeaths, isHopeless, pauseMs } from './replacement-policy.js';
import type { Sockets } from './shared-sockets.js';
import type { SupervisionTiming } from './supervision-timing.js';
import { type Ending, WorkerProcess } from './worker-process.js';

export interface WorkerPoolOptions {
  readonly size: number;
  /** What workers listen on. */
  readonly sockets: Sockets;
  readonly timing: SupervisionTiming;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What a worker of this slot (1 to `size`) is told first. */
  readonly startOrders: (slot: number) => readonly Order[];
  /** What workers may ask for. */
  readonly certificates?: CertificateSource | undefined;
  readonly onReplaced: (slot: number, reason: ReplacementReason) => void;
  /** No worker serves and none can be started. */
  readonly onHopeless: (error: Error) => void;
}

/** Keeps so many workers serving: one that ended, or whose event loop stands still, is replaced. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #workers = new Map<number, WorkerProcess>();
  readonly #earlyDeaths = new Map<number, EarlyDeaths>();
  readonly #pauses = new Map<number, Timer>();
  /** Why a worker was killed. */
  readonly #killed = new Map<WorkerProcess, ReplacementReason>();
  #watch: Timer | undefined;
  #lookedAt = 0;
  #closing = false;
  #starting: { resolve(addresses: Addresses): void; reject(error: Error): void } | undefined;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /** Those that run, whether they serve already or not. */
  get workers(): readonly WorkerProcess[] {
    return [...this.#workers.values()].filter(({ hasEnded }) => !hasEnded);
  }

  get serving(): readonly WorkerProcess[] {
    return this.workers.filter(({ isServing }) => isServing);
  }

  /** Resolves to where they listen when all serve. Rejects with the error of one that cannot. */
  start(): Promise<Addresses> {
    const { size } = this.#options;
    const started = new Promise<Addresses>((resolve, reject) => (this.#starting = { resolve, reject }));
    for (let slot = 1; slot <= size; slot += 1) this.#fork(slot);
    this.#lookLater();
    return started;
  }

  /** Tells all that run. */
  tell(order: Order): void {
    for (const worker of this.workers) worker.send(order);
  }

  /** Each worker takes the configuration over; one that does not answer is replaced. Throws what one refuses it for. */
  async reload(reload: Reload): Promise<void> {
    const { timing, logger } = this.#options;
    const outcomes = await Promise.all(
      this.workers.map(async (worker) => {
        try {
          await Promise.race([worker.listening, worker.ended]);
          await worker.reload(reload, timing.unresponsiveMs);
          return undefined;
        } catch (error) {
          if (!worker.hasEnded) logger.error({ worker: worker.slot, err: error }, 'a worker refused the configuration');
          return worker.hasEnded ? undefined : (error as Error);
        }
      }),
    );
    const refusal = outcomes.find((outcome) => outcome !== undefined);
    if (refusal) throw refusal;
  }

  /** Drains all workers; what has not ended after `limitMs` is killed. */
  async close(limitMs: number): Promise<void> {
    await this.#endAll({ kind: 'close' }, limitMs);
  }

  async destroy(): Promise<void> {
    await this.#endAll({ kind: 'destroy' }, 2_000);
  }

  async #endAll(order: Order, limitMs: number): Promise<void> {
    const { clock, logger } = this.#options;
    this.#closing = true;
    for (const pause of this.#pauses.values()) pause.cancel();
    const { workers } = this;
    for (const worker of workers) worker.send(order);
    const limit = clock.after(limitMs, () => {
      for (const worker of this.workers) {
        logger.warn({ worker: worker.slot, pid: worker.pid }, 'the worker does not end by itself; killing it');
        worker.kill();
      }
    });
    await Promise.all(workers.map(({ ended }) => ended));
    limit.cancel();
    this.#watch?.cancel();
  }

  #fork(slot: number): void {
    const { clock, startOrders, logger, sockets, certificates } = this.#options;
    this.#pauses.delete(slot);
    const worker = new WorkerProcess(slot, clock, sockets, certificates);
    this.#workers.set(slot, worker);
    void worker.ended.then((ending) => this.#onEnded(worker, ending));
    worker.listening.then(
      (addresses) => this.#onListening(worker, addresses),
      (error: Error) => {
        if (this.#starting) this.#settleStart(error);
        else logger.error({ worker: slot, err: error }, `a worker cannot start: ${error.message}`);
      },
    );
    for (const order of startOrders(slot)) worker.send(order);
  }

  #onListening(worker: WorkerProcess, addresses: Addresses): void {
    const { logger, size } = this.#options;
    if (!this.#starting) logger.info({ worker: worker.slot, pid: worker.pid }, 'the replacement of a worker serves');
    else if (this.serving.length === size) this.#settleStart(addresses);
  }

  #settleStart(outcome: Addresses | Error): void {
    const starting = this.#starting;
    this.#starting = undefined;
    if (outcome instanceof Error) starting?.reject(outcome);
    else starting?.resolve(outcome);
  }

  #onEnded(worker: WorkerProcess, { cause, servedMs }: Ending): void {
    const { clock, logger, onReplaced } = this.#options;
    const { slot, pid } = worker;
    const reason = this.#killed.get(worker) ?? 'died';
    this.#killed.delete(worker);
    if (this.#closing) return;
    for (const other of this.workers) other.send({ kind: 'peer-died' });
    const earlyDeaths = countDeath(this.#earlyDeaths.get(slot) ?? 0, servedMs);
    this.#earlyDeaths.set(slot, earlyDeaths);
    const pause = pauseMs(earlyDeaths);
    logger.error({ worker: slot, pid, cause, reason, pauseMs: pause }, 'a worker ended; replacing it');
    onReplaced(slot, reason);
    if (isHopeless(earlyDeaths, this.serving.length)) return this.#giveUp(cause);
    if (pause === 0) this.#fork(slot);
    else
      this.#pauses.set(
        slot,
        clock.after(pause, () => this.#fork(slot)),
      );
  }

  #giveUp(cause: string): void {
    const error = new Error(`no worker stays alive, the last one ended with ${cause}; the log lines before say more`);
    if (this.#starting) this.#settleStart(error);
    else this.#options.onHopeless(error);
  }

  #lookLater(): void {
    const { clock, timing } = this.#options;
    this.#lookedAt = clock.monotonic();
    this.#watch = clock.after(timing.heartbeatMs, () => {
      this.#look();
      this.#lookLater();
    });
  }

  #look(): void {
    const { clock, timing } = this.#options;
    const now = clock.monotonic();
    const stoodStill = now - this.#lookedAt > timing.heartbeatMs + timing.unresponsiveMs / 2;
    for (const worker of this.workers) {
      if (stoodStill) worker.excuse();
      // Loading the program is one long turn of the event loop, on a busy machine a very long one.
      else if (!worker.isServing && now - worker.forkedAt > timing.startMs) this.#kill(worker, 'start_timeout');
      else if (worker.isServing && now - worker.heardAt > timing.unresponsiveMs) this.#kill(worker, 'unresponsive');
    }
  }

  #kill(worker: WorkerProcess, reason: ReplacementReason): void {
    if (this.#killed.has(worker)) return;
    this.#killed.set(worker, reason);
    const { slot, pid } = worker;
    this.#options.logger.error({ worker: slot, pid, reason }, 'a worker does not answer; killing it');
    worker.kill();
  }
}

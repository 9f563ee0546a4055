import { type ChildProcess, fork, type SendHandle } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Readiness } from '../../admin/health-routes.js';
import { inheritable } from '../../machine/descriptors.js';
import type { CertificateSource } from '../../model/certificate.js';
import type { Clock } from '../../model/clock.js';
import type { Addresses } from '../daemon.js';
import type { Answers, Order, Reload, Report } from './messages.js';
import type { Sockets } from './shared-sockets.js';

export interface Ending {
  /** 'exit code 1', 'signal SIGKILL'. */
  readonly cause: string;
  /** How long it had served; undefined if it never did. */
  readonly servedMs: number | undefined;
}

const program = fileURLToPath(new URL('../../worker-main.js', import.meta.url));

/** One worker as its supervisor sees it, from its fork to its end. */
export class WorkerProcess {
  readonly slot: number;
  readonly forkedAt: number;
  /** Resolves to where it listens once it serves. Rejects with what it says of why it cannot; pends if it just ends. */
  readonly listening: Promise<Addresses>;
  readonly ended: Promise<Ending>;
  readonly #worker: ChildProcess;
  readonly #sockets: Sockets;
  readonly #clock: Clock;
  readonly #certificates: CertificateSource | undefined;
  readonly #questions = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  /** Orders for a worker that does not hear yet. */
  #early: Order[] | undefined = [];
  #questionId = 0;
  #heardAt: number;
  #servingSince: number | undefined;
  #checks: Readiness['checks'] = {};
  #hasEnded = false;

  /** Starts it. It accepts connections from these sockets, and may ask for `certificates`. */
  constructor(slot: number, clock: Clock, sockets: Sockets, certificates?: CertificateSource) {
    this.slot = slot;
    this.#certificates = certificates;
    this.#clock = clock;
    this.#sockets = sockets;
    // What the supervisor itself has open is not for a worker.
    const env = { ...process.env, FASTCONTAINER_INHERITED: JSON.stringify(inheritable()) };
    this.#worker = fork(program, [], { env });
    this.forkedAt = clock.monotonic();
    this.#heardAt = this.forkedAt;
    this.listening = new Promise((resolve, reject) => {
      this.#worker.on('message', (report: Report) => {
        this.#heardAt = clock.monotonic();
        if (report.kind === 'hears') this.#sendEarly();
        else if (report.kind === 'listening') {
          this.#servingSince = clock.monotonic();
          resolve({ http: report.http, https: report.https });
        } else if (report.kind === 'failed') reject(Object.assign(new Error(report.error.message), report.error));
        else this.#hear(report);
      });
    });
    // It may reject while nothing waits for it.
    this.listening.catch(() => {});
    this.ended = new Promise((resolve) => {
      this.#worker.once('exit', (code: number | null, signal: string | null) => resolve(this.#end(code, signal)));
    });
    // What is sent to a worker that has just died comes back as an error; its exit is what counts.
    this.#worker.on('error', () => {});
  }

  get pid(): number {
    return this.#worker.pid ?? 0;
  }

  get isServing(): boolean {
    return this.#servingSince !== undefined && !this.#hasEnded;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** As it last reported. */
  get checks(): Readiness['checks'] {
    return this.#checks;
  }

  /** Since when nothing was heard of it, on the monotonic clock. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** This process itself did not listen for a while: what was sent meanwhile may not have been read yet. */
  excuse(): void {
    this.#heardAt = this.#clock.monotonic();
  }

  send(order: Order): void {
    if (this.#early) this.#early.push(order);
    else if (this.#worker.connected) this.#worker.send(order, () => {});
  }

  /** Its answer; undefined if it gives none within the limit, or ends. */
  async ask<W extends keyof Answers>(what: W, limitMs: number): Promise<Answers[W] | undefined> {
    const question = (id: number) => ({ kind: 'ask', id, what }) as const;
    return (await this.#question(question, limitMs).catch(() => undefined)) as Answers[W] | undefined;
  }

  /** Resolves when it has taken the configuration over. Rejects if it refuses, ends, or does not answer. */
  async reload(reload: Reload, limitMs: number): Promise<void> {
    await this.#question((id) => ({ kind: 'reload', id, ...reload }), limitMs);
  }

  /** Resolves when it serves what the store has of the app now. Rejects if it cannot tell, ends, or does not answer. */
  async see(app: string, limitMs: number): Promise<void> {
    await this.#question((id) => ({ kind: 'see', id, app }), limitMs);
  }

  kill(): void {
    this.#worker.kill('SIGKILL');
  }

  #sendEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const [address, socket] of this.#sockets) {
      // Not in the types: a handle that is no server's yet.
      this.#worker.send({ kind: 'socket', address } satisfies Order, socket as unknown as SendHandle, () => {});
    }
    for (const order of early) this.send(order);
  }

  #question(order: (id: number) => Order, limitMs: number): Promise<unknown> {
    const id = (this.#questionId += 1);
    const answer = new Promise((resolve, reject) => this.#questions.set(id, { resolve, reject }));
    const limit = this.#clock.after(limitMs, () => this.#settle(id, new Error(`no answer within ${limitMs} ms`)));
    if (this.#hasEnded) this.#settle(id, new Error('it has ended'));
    else this.send(order(id));
    return answer.finally(() => limit.cancel());
  }

  #settle(id: number, outcome: unknown): void {
    const question = this.#questions.get(id);
    this.#questions.delete(id);
    if (outcome instanceof Error) question?.reject(outcome);
    else question?.resolve(outcome);
  }

  #hear(report: Exclude<Report, { kind: 'hears' | 'listening' | 'failed' }>): void {
    if (report.kind === 'alive') this.#checks = report.checks;
    else if (report.kind === 'certificate') void this.#findCertificate(report);
    else if (report.kind === 'answer') this.#settle(report.id, report.value);
    else this.#settle(report.id, new Error(report.message));
  }

  async #findCertificate({ id, name, have }: Extract<Report, { kind: 'certificate' }>): Promise<void> {
    try {
      const found = await this.#certificates?.find(name, have);
      this.send({ kind: 'certificate', id, ...(found && { found }) });
    } catch (error) {
      this.send({ kind: 'certificate', id, fault: (error as Error).message });
    }
  }

  #end(code: number | null, signal: string | null): Ending {
    const servedMs = this.#servingSince === undefined ? undefined : this.#clock.monotonic() - this.#servingSince;
    this.#hasEnded = true;
    for (const id of this.#questions.keys()) this.#settle(id, new Error('it has ended'));
    return { cause: signal === null ? `exit code ${code}` : `signal ${signal}`, servedMs };
  }
}

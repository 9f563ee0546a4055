import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { CertificateSource, FoundCertificate } from '../../model/certificate.js';
import type { Clock, Timer } from '../../model/clock.js';
import type { CertificateFilesOptions, CertificateState } from './certificate-files.js';
import type { CertificateQuestion, CertificateReport } from './thread-messages.js';

export interface CertificateThreadOptions extends CertificateFilesOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Certificates may be others than before: they are to be asked for again. */
  readonly onChanged: () => void;
  /** Bounded by the caller: there may be as many as files. */
  readonly onProblem: (file: string, fault: string) => void;
}

interface Question extends CertificateQuestion {
  resolve(found: FoundCertificate | undefined): void;
  reject(error: Error): void;
}

const heapMebibytes = 512;
const restartAfterMs = 1_000;

/** Looks at certificate files in a thread, so that no request waits for it. One that ends is started again. */
export class CertificateThread implements CertificateSource {
  readonly #options: CertificateThreadOptions;
  readonly #questions = new Map<number, Question>();
  #state: CertificateState = { files: 0, isComplete: false, problems: 0 };
  #worker: Worker | undefined;
  #restart: Timer | undefined;
  #count = 0;
  #closed = false;

  constructor(options: CertificateThreadOptions) {
    this.#options = options;
    this.#start();
  }

  get state(): CertificateState {
    return this.#state;
  }

  find(name: string, have?: string): Promise<FoundCertificate | undefined> {
    if (this.#closed) return Promise.reject(new Error('the certificates are closed, as the daemon ends'));
    return new Promise((resolve, reject) => {
      const id = (this.#count += 1);
      this.#questions.set(id, { id, name, have, resolve, reject });
      this.#worker?.postMessage({ id, name, have } satisfies CertificateQuestion);
    });
  }

  /** Re-entrant. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#restart?.cancel();
    this.#rejectAll(new Error('the certificates are closed, as the daemon ends'));
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  #start(): void {
    const { patterns, fallback, clock, logger, onChanged } = this.#options;
    const worker = new Worker(new URL('thread-main.js', import.meta.url), {
      workerData: { patterns, ...(fallback !== undefined && { fallback }) } satisfies CertificateFilesOptions,
      resourceLimits: { maxOldGenerationSizeMb: heapMebibytes },
    });
    worker.unref();
    worker.on('message', (report: CertificateReport) => this.#hear(report));
    worker.on('error', (err) => logger.error({ err }, 'the thread that looks at certificates failed'));
    worker.once('exit', () => {
      if (this.#closed) return;
      this.#worker = undefined;
      this.#rejectAll(new Error('the thread that looks at certificates ended'));
      this.#restart = clock.after(restartAfterMs, () => {
        this.#start();
        // Ids of the thread before mean others now.
        onChanged();
      });
    });
    this.#worker = worker;
    // Asked while there was no thread.
    for (const { id, name, have } of this.#questions.values()) worker.postMessage({ id, name, have });
  }

  #hear(report: CertificateReport): void {
    const { logger, onChanged, onProblem } = this.#options;
    switch (report.kind) {
      case 'found':
        return this.#settle(report.id, ({ resolve }) => resolve(report.found));
      case 'failed':
        return this.#settle(report.id, ({ reject }) => reject(new Error(report.message)));
      case 'changed':
        return onChanged();
      case 'state':
        this.#state = report.state;
        return;
      case 'problem':
        return onProblem(report.file, report.fault);
      case 'error':
        logger.warn(`certificates: ${report.message}`);
        return;
    }
  }

  #settle(id: number, how: (question: Question) => void): void {
    const question = this.#questions.get(id);
    this.#questions.delete(id);
    if (question) how(question);
  }

  #rejectAll(error: Error): void {
    for (const id of this.#questions.keys()) this.#settle(id, ({ reject }) => reject(error));
  }
}

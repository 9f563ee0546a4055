import type { CertificateSource, FoundCertificate } from '../../model/certificate.js';
import type { Order, Report } from './messages.js';

type Answer = Extract<Order, { kind: 'certificate' }>;

/** The certificates of a daemon as a worker sees them: it asks its supervisor. */
export class AskedCertificates implements CertificateSource {
  readonly #report: (report: Report) => void;
  readonly #questions = new Map<number, (answer: Answer | undefined) => void>();
  #count = 0;
  #isOver = false;

  constructor(report: (report: Report) => void) {
    this.#report = report;
  }

  find(name: string, have?: string): Promise<FoundCertificate | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) return reject(new Error('the supervisor is gone'));
      const id = (this.#count += 1);
      this.#questions.set(id, (answer) => {
        if (answer && answer.fault === undefined) resolve(answer.found);
        else reject(new Error(answer?.fault ?? 'the supervisor is gone'));
      });
      this.#report({ kind: 'certificate', id, name, ...(have !== undefined && { have }) });
    });
  }

  answered(answer: Answer): void {
    this.#questions.get(answer.id)?.(answer);
    this.#questions.delete(answer.id);
  }

  /** No answer comes any longer. */
  end(): void {
    this.#isOver = true;
    for (const settle of this.#questions.values()) settle(undefined);
    this.#questions.clear();
  }
}

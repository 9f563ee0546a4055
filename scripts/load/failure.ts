import type { Exchanged } from './exchange.js';

/** The dispatcher answered in the app's place, or the app answered with something else than what was asked for. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: number;
  /** `x-fastcontainer-error`. */
  readonly code: string | undefined;
  readonly retryAfter: string | undefined;

  constructor({ status, fastcontainerError, retryAfter }: Omit<Exchanged, 'body' | 'cold' | 'ms'>) {
    super(`status ${status}${fastcontainerError ? ` ${fastcontainerError}` : ''}`);
    this.status = status;
    this.code = fastcontainerError;
    this.retryAfter = retryAfter;
  }
}

/** An answer came, whole, and is not the one to this request. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer';
}

/** Neither an answer nor an end came in time. */
export class Hung extends Error {
  override readonly name = 'Hung';

  constructor(limitMs: number) {
    super(`no end within ${limitMs} ms`);
  }
}

/** Throws unless the answer is from this app; `instance` is what it called itself. */
export function expectFrom(app: string, instance: unknown): void {
  if (!String(instance).startsWith(`${app}-`)) throw new WrongAnswer(`the answer of another app: ${String(instance)}`);
}

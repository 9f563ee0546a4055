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

/** A WebSocket was closed by the other side, in good order. */
export class Closed extends Error {
  override readonly name = 'Closed';
  readonly code: number;
  /** For how long no frame had come or gone before. */
  readonly silentMs: number;

  constructor(code: number, silentMs: number) {
    super(`closed with ${code} after ${silentMs.toFixed(0)} ms of silence`);
    this.code = code;
    this.silentMs = silentMs;
  }
}

/** Throws unless the answer is from this app; `instance` is what it called itself. */
export function expectFrom(app: string, instance: unknown): void {
  if (!String(instance).startsWith(`${app}-`)) throw new WrongAnswer(`the answer of another app: ${String(instance)}`);
}

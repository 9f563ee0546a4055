import { messageOf } from '../output/printable.js';
/** A failed call to the engine; the message says what was tried, why it failed and what to do. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  /** The engine's HTTP status; undefined if it did not answer. */
  readonly status: number | undefined;
  /** The engine's error message; '' if it did not answer. */
  readonly reason: string;

  constructor(message: string, status: number | undefined, reason: string, cause?: unknown) {
    super(message, { cause });
    this.status = status;
    this.reason = reason;
  }
}

/** The error for an answer with a status that refuses the call; `reason` is the engine's message. */
export function refused(doing: string, where: string, status: number, reason: string): EngineError {
  const message = `cannot ${doing}: Docker Engine at ${where} answered ${status}: ${reason || 'no reason given'}`;
  return new EngineError(message, status, reason);
}

/** Turns an error of the connection into an EngineError; `doing` says what was tried. */
export function unreachable(error: unknown, doing: string, where: string): EngineError {
  if (error instanceof EngineError) return error;
  return new EngineError(`cannot ${doing}: ${whyUnreachable(error, where)}`, undefined, '', error);
}

/** The error for an engine that did not answer in time. */
export function tooLate(doing: string, where: string, limitMs: number): EngineError {
  return new EngineError(
    `cannot ${doing}: Docker Engine at ${where} did not answer within ${limitMs / 1000} s; ` +
      'it hangs or is overloaded: see its log (journalctl -u docker) and restart it if need be',
    undefined,
    '',
  );
}

/** Whether the engine said that the thing does not exist. */
export function isMissing(error: unknown): boolean {
  return error instanceof EngineError && error.status === 404;
}

function whyUnreachable(error: unknown, where: string): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  switch (code) {
    case 'ENOENT':
      return `Docker Engine's socket ${where} does not exist; ${startIt}`;
    case 'ECONNREFUSED':
      return `Docker Engine does not run: nothing answers at ${where}; ${startIt}`;
    case 'EACCES':
    case 'EPERM':
      return (
        `no permission to use Docker Engine's socket ${where}; ` +
        "add this user to the socket's group (usermod -aG docker USER)"
      );
    case 'ENOTSOCK':
      return `${where} is not a socket; correct runtimes.docker.socketPath`;
    default:
      return (
        `Docker Engine at ${where} cannot be reached ` +
        `(${messageOf(error)}); ` +
        'see whether it runs and whether address and TLS files under runtimes.docker are right'
      );
  }
}

const startIt = 'start it (systemctl start docker) or correct runtimes.docker';

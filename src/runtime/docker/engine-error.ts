import { oneLine, textAt } from './reply.js';

/** A call to the engine that failed. The message says what was tried, why it failed and what to do. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  /** The engine's own HTTP status; undefined where it could not be asked. */
  readonly status: number | undefined;
  /** The engine's own words; '' where it could not be asked. */
  readonly reason: string;

  constructor(message: string, status: number | undefined, reason: string, cause?: unknown) {
    super(message, { cause });
    this.status = status;
    this.reason = reason;
  }
}

/** Turns what dockerode threw while `doing` into an EngineError. */
export function asEngineError(error: unknown, doing: string, where: string): EngineError {
  if (error instanceof EngineError) return error;
  const status = statusOf(error);
  if (status === undefined) {
    return new EngineError(`cannot ${doing}: ${unreachable(error, where)}`, undefined, '', error);
  }
  const reason = reasonOf(error);
  return new EngineError(
    `cannot ${doing}: Docker Engine at ${where} answered ${status}: ${reason}`,
    status,
    reason,
    error,
  );
}

/** The engine took the call and did not answer in time. */
export function tooLate(doing: string, where: string, limitMs: number): EngineError {
  return new EngineError(
    `cannot ${doing}: Docker Engine at ${where} did not answer within ${limitMs / 1000} s; ` +
      'it hangs or is overloaded: see its log (journalctl -u docker) and restart it if need be',
    undefined,
    '',
  );
}

/** True where the engine itself said that the thing does not exist. */
export function isMissing(error: unknown): boolean {
  return error instanceof EngineError && error.status === 404;
}

function statusOf(error: unknown): number | undefined {
  const status = typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : undefined;
  return typeof status === 'number' ? status : undefined;
}

function reasonOf(error: unknown): string {
  const json = typeof error === 'object' && error !== null && 'json' in error ? error.json : undefined;
  return oneLine(textAt(json, 'message') ?? (error instanceof Error ? error.message : String(error)));
}

function unreachable(error: unknown, where: string): string {
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
        `Docker Engine at ${where} cannot be talked to ` +
        `(${oneLine(error instanceof Error ? error.message : String(error))}); ` +
        'see whether it runs and whether address and TLS files under runtimes.docker are right'
      );
  }
}

const startIt = 'start it (systemctl start docker) or correct runtimes.docker';

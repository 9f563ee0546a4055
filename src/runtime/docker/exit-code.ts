import { constants } from 'node:os';

/**
 * 'exit code 1', or 'signal SIGKILL' for a process that ended by a signal, which the container's init reports as 128 + its number.
 * Accepts a number or its text.
 */
export function exitCodeCause(exitCode: unknown): string {
  const code = Number(exitCode);
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  return signal === undefined ? `exit code ${Number.isInteger(code) ? code : 'unknown'}` : `signal ${signal}`;
}

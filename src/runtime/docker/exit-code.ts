import { constants } from 'node:os';

/**
 * 'exit code 1', or 'signal SIGKILL' for what ended by a signal: the container's init passes that on as 128 + its
 * number. Takes the engine's number or its text.
 */
export function exitCodeCause(exitCode: unknown): string {
  const code = Number(exitCode);
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  return signal === undefined ? `exit code ${Number.isInteger(code) ? code : 'unknown'}` : `signal ${signal}`;
}

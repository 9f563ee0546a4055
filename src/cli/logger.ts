import { type Logger, pino } from 'pino';
import type { LogLevel } from '../config/config.js';
import { RequestError } from '../model/errors.js';
import { oneDecimal } from '../telemetry/one-decimal.js';

/**
 * Writes to stdout: JSON lines, or coloured lines for a terminal. Synchronous, so that the last lines are not lost.
 */
export async function createLogger(level: LogLevel, terminal: boolean): Promise<Logger> {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: levelName, log: oneDecimal },
    serializers: { err: withoutNeedlessStack },
  };
  if (!terminal) return pino(options, pino.destination({ dest: 1, sync: true }));
  const { default: pretty } = await import('pino-pretty');
  return pino(options, pretty({ colorize: true, translateTime: 'SYS:HH:MM:ss.l', sync: true }));
}

/** Expected errors and system errors are logged without a stack, which would say nothing. */
function withoutNeedlessStack(error: unknown): unknown {
  const shown = pino.stdSerializers.err(error as Error);
  if (!(error instanceof RequestError) && !(error instanceof Error && 'syscall' in error)) return shown;
  return Object.fromEntries(Object.entries(shown).filter(([key]) => key !== 'stack'));
}

function levelName(label: string): { level: string } {
  return { level: label };
}

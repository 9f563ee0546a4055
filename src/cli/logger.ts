import { type Logger, pino } from 'pino';
import type { LogLevel } from '../config/config.js';
import { oneDecimal } from '../telemetry/one-decimal.js';

/**
 * Writes to stdout: JSON lines, or coloured lines for people where `terminal`. Synchronous, so that no last words are
 * lost.
 */
export async function createLogger(level: LogLevel, terminal: boolean): Promise<Logger> {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: levelName, log: oneDecimal },
  };
  if (!terminal) return pino(options, pino.destination({ dest: 1, sync: true }));
  const { default: pretty } = await import('pino-pretty');
  return pino(options, pretty({ colorize: true, translateTime: 'SYS:HH:MM:ss.l', sync: true }));
}

function levelName(label: string): { level: string } {
  return { level: label };
}

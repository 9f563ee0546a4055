import type { Environment } from '../../config/interpolate.js';
import { printable } from '../../config/problem.js';

/** Parameters that begin and end each style (ECMA-48, SGR). */
const styles = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;

export type Style = keyof typeof styles;

/** Where a command writes. Nothing of others is written without being made printable first. */
export interface Screen {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly style: (style: Style, text: string) => string;
  readonly now: () => number;
}

/** JSON in one line, without characters that a terminal would act on. */
export function jsonLine(value: unknown): string {
  return printable(JSON.stringify(value));
}

/** The screen of this process: colours only on a terminal, and not with NO_COLOR (https://no-color.org). */
export function processScreen(env: Environment, isTerminal: boolean): Screen {
  // The reader of a pipe has had enough.
  process.stdout.once('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1));
  const hasColours = isTerminal && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    style: (style, text) => {
      const [begin, end] = styles[style];
      return hasColours ? `\u001b[${begin}m${text}\u001b[${end}m` : text;
    },
    now: Date.now,
  };
}

import { printable } from '../../config/problem.js';
import type { Screen, Style } from './screen.js';

/** A cell: text of others, which is made printable here; with a style if it is to stand out. */
export type Cell = string | readonly [text: string, style: Style];

/** Rows under their headings, each column as wide as its widest cell. */
export function table(headings: readonly string[], rows: readonly (readonly Cell[])[], screen: Screen): string {
  const lines = [headings.map((heading): Cell => [heading, 'bold']), ...rows].map((row) => row.map(plain));
  const widths = headings.map((_, column) =>
    lines.reduce((widest, row) => Math.max(widest, width(row[column]?.text ?? '')), 0),
  );
  return lines.map((row) => `${lineOf(row, widths, screen)}\n`).join('');
}

/** Names and what they stand for, one a line. */
export function fields(rows: readonly (readonly [name: string, value: Cell | undefined])[], screen: Screen): string {
  const shown = rows.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [[name, value] as const]));
  const widest = Math.max(...shown.map(([name]) => name.length));
  return shown
    .map(([name, value]) => {
      const { text, style } = plain(value);
      return `${screen.style('dim', name.padEnd(widest))}  ${style ? screen.style(style, text) : text}\n`;
    })
    .join('');
}

/** How long ago or ahead a time is, in one unit: `5s`, `12m`, `3h`, `9d`. Empty if there is none. */
export function distance(time: unknown, now: number): string {
  const at = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  if (Number.isNaN(at)) return '';
  const seconds = Math.floor(Math.abs(now - at) / 1_000);
  if (seconds < 100) return `${seconds}s`;
  if (seconds < 100 * 60) return `${Math.floor(seconds / 60)}m`;
  return seconds < 48 * 3_600 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

interface PlainCell {
  readonly text: string;
  readonly style?: Style;
}

function plain(cell: Cell): PlainCell {
  return typeof cell === 'string' ? { text: printable(cell) } : { text: printable(cell[0]), style: cell[1] };
}

function lineOf(row: readonly PlainCell[], widths: readonly number[], screen: Screen): string {
  const cells = row.map(({ text, style }, column) => {
    const shown = style ? screen.style(style, text) : text;
    return column === row.length - 1 ? shown : shown + ' '.repeat((widths[column] ?? 0) - width(text));
  });
  return cells.join('  ').trimEnd();
}

function width(text: string): number {
  return Array.from(text).length;
}

import { durationUnits, parseAmount } from './duration.js';

const sizeUnits = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 } as const;

/** Bytes of `16k 128m 1g` (powers of 1024; `b` for single bytes); undefined if the text is no size. */
export function parseSize(text: string): number | undefined {
  return parseAmount(text.toLowerCase(), /^(\d+(?:\.\d+)?)([bkmgt])$/, sizeUnits);
}

/** The shortest exact spelling: 1200000 is `20m`, 1500 is `1500ms`. */
export function formatDuration(durationMs: number): string {
  return format(durationMs, durationUnits);
}

/** The shortest exact spelling: 134217728 is `128m`. */
export function formatSize(bytes: number): string {
  return format(bytes, sizeUnits);
}

function format(amount: number, units: Readonly<Record<string, number>>): string {
  const fitting = Object.entries(units).filter(([, factor]) => amount !== 0 && amount % factor === 0);
  const [unit, factor] = fitting.at(-1) ?? Object.entries(units)[0]!;
  return `${amount / factor}${unit}`;
}

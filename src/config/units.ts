const durationUnits = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const sizeUnits = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 } as const;

/**
 * Milliseconds of `250ms 5s 20m 24h 7d 1.5h`; undefined where the text is no duration or no whole number of
 * milliseconds.
 */
export function parseDuration(text: string): number | undefined {
  return parse(text, /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/, durationUnits);
}

/** Bytes of `16k 128m 1g` (powers of 1024; `b` for single bytes); undefined where the text is no size. */
export function parseSize(text: string): number | undefined {
  return parse(text.toLowerCase(), /^(\d+(?:\.\d+)?)([bkmgt])$/, sizeUnits);
}

/** The shortest exact spelling: 1200000 is `20m`, 1500 is `1500ms`. */
export function formatDuration(durationMs: number): string {
  return format(durationMs, durationUnits);
}

/** The shortest exact spelling: 134217728 is `128m`. */
export function formatSize(bytes: number): string {
  return format(bytes, sizeUnits);
}

function parse(text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  const match = pattern.exec(text);
  const factor = units[match?.[2] ?? ''];
  if (!match || factor === undefined) return undefined;
  // Rounding undoes binary fractions such as 1.1 * 1000 = 1100.0000000000002.
  const amount = Math.round(Number(match[1]) * factor * 1e6) / 1e6;
  return Number.isSafeInteger(amount) ? amount : undefined;
}

function format(amount: number, units: Readonly<Record<string, number>>): string {
  const fitting = Object.entries(units).filter(([, factor]) => amount !== 0 && amount % factor === 0);
  const [unit, factor] = fitting.at(-1) ?? Object.entries(units)[0]!;
  return `${amount / factor}${unit}`;
}

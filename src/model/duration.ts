/** Milliseconds of each unit of a duration. */
export const durationUnits = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Milliseconds of `250ms 5s 20m 24h 7d 1.5h`; undefined if the text is no duration or no whole number of milliseconds.
 */
export function parseDuration(text: string): number | undefined {
  return parseAmount(text, /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/, durationUnits);
}

/** A number with a unit, in the smallest one; undefined if it is no whole number of those. */
export function parseAmount(
  text: string,
  pattern: RegExp,
  units: Readonly<Record<string, number>>,
): number | undefined {
  const match = pattern.exec(text);
  const factor = units[match?.[2] ?? ''];
  if (!match || factor === undefined) return undefined;
  // Rounding undoes binary fractions such as 1.1 * 1000 = 1100.0000000000002.
  const amount = Math.round(Number(match[1]) * factor * 1e6) / 1e6;
  return Number.isSafeInteger(amount) ? amount : undefined;
}

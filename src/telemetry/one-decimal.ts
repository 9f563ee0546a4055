/** A value as it leaves the program: numbers in it and in plain objects of it have one decimal at most. Copies what it changes. */
export function oneDecimal<T extends object>(value: T): T {
  let changed: Record<string, unknown> | undefined;
  for (const [key, before] of Object.entries(value)) {
    const after = rounded(before);
    if (Object.is(after, before)) continue;
    changed ??= { ...value } as Record<string, unknown>;
    changed[key] = after;
  }
  return (changed as T | undefined) ?? value;
}

function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? Math.round(value * 10) / 10 : value;
  return isPlain(value) ? oneDecimal(value) : value;
}

/** An error, a request or a buffer is left to those who know how to write it. */
function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

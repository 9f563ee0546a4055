/** Rounds the numbers in a value, and in the plain objects inside it, to one decimal for output. Copies what it changes. */
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

/** Other objects, such as errors, requests and buffers, have their own serializers. */
function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

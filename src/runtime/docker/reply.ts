/** These functions read the engine's answers without trusting their shape. */

/** The value at `path` in a parsed JSON reply; undefined if anything on the way is missing. */
export function at(reply: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, key)
        ? (value as Record<string, unknown>)[key]
        : undefined,
    reply,
  );
}

/** The string at `path`; undefined if it is empty or not a string. */
export function textAt(reply: unknown, ...path: readonly string[]): string | undefined {
  const value = at(reply, ...path);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** The engine's id of a container at `path`: hexadecimal, and so safe in a URL. */
export function idAt(reply: unknown, ...path: readonly string[]): string | undefined {
  const id = textAt(reply, ...path);
  return id !== undefined && /^[0-9a-f]{12,64}$/.test(id) ? id : undefined;
}

/** The TCP port at `path`, which may be a number or its decimal text. */
export function portAt(reply: unknown, ...path: readonly string[]): number | undefined {
  return asPort(at(reply, ...path));
}

export function asPort(value: unknown): number | undefined {
  const port = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
  return typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
}

/** The members of the array at `path`; none if there is no array. */
export function listAt(reply: unknown, ...path: readonly string[]): readonly unknown[] {
  const value = at(reply, ...path);
  return Array.isArray(value) ? value : [];
}

/** Names and values of the object at `path`; none if there is no object. */
export function entriesAt(reply: unknown, ...path: readonly string[]): readonly [string, unknown][] {
  const value = at(reply, ...path);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
}

/** Runs one `run` at a time for each key. Callers that come before it has settled share its outcome. */
export function shared<T>(underWay: Map<string, Promise<T>>, key: string, run: () => Promise<T>): Promise<T> {
  const known = underWay.get(key);
  if (known) return known;
  const begun = run().finally(() => underWay.delete(key));
  underWay.set(key, begun);
  return begun;
}

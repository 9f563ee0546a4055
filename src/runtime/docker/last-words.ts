const maxKept = 64;

/** Output of the last 64 containers that failed boots removed, kept for later callers. */
export interface LastWords {
  keep(id: string, words: string): void;
  of(id: string): string | undefined;
  forget(id: string): void;
}

export function lastWords(): LastWords {
  const kept = new Map<string, string>();
  return {
    of: (id) => kept.get(id),
    forget: (id) => void kept.delete(id),
    keep(id, words) {
      kept.set(id, words);
      const [oldest] = kept.keys();
      if (kept.size > maxKept && oldest !== undefined) kept.delete(oldest);
    },
  };
}

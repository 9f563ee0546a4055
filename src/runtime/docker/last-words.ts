const maxKept = 64;

/** What containers wrote that a failed boot removed before anybody could ask; the newest 64. */
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

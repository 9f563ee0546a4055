import { setImmediate as turn } from 'node:timers/promises';

/** Cuts a list into pieces of at most `size`. */
export function* batches<T>(items: readonly T[], size: number): Iterable<readonly T[]> {
  for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size);
}

/** As batches, each in a turn of the event loop of its own: requests go on while thousands of items are looked at. */
export async function* inTurns<T>(items: readonly T[], size: number): AsyncIterable<readonly T[]> {
  for (const some of batches(items, size)) {
    yield some;
    if (items.length > size) await turn();
  }
}

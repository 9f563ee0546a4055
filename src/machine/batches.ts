import { setImmediate as turn } from 'node:timers/promises';

/** Cuts a list into pieces of at most `size`. */
export function* batches<T>(items: readonly T[], size: number): Iterable<readonly T[]> {
  for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size);
}

/** Like `batches`, but one per turn of the event loop, so that requests go on while thousands of items are processed. */
export async function* inTurns<T>(items: readonly T[], size: number): AsyncIterable<readonly T[]> {
  for (const some of batches(items, size)) {
    yield some;
    if (items.length > size) await turn();
  }
}

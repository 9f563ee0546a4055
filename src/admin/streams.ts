import { ApiError } from './api-error.js';

/** Less than the connections of the server, so that there are always some for other calls. */
const mostStreams = 50;
const mostOfOne = 20;

/** Counts the open streams, over all and of each token. */
export class Streams {
  readonly #open = new Map<string, number>();

  /** Counts one more; returns what to call at its end. Throws `too_many_streams`. */
  enter(caller: string): () => void {
    const mine = this.#open.get(caller) ?? 0;
    const all = [...this.#open.values()].reduce((sum, count) => sum + count, 0);
    if (mine >= mostOfOne || all >= mostStreams)
      throw new ApiError(
        'too_many_streams',
        `${mine >= mostOfOne ? `${mostOfOne} of this token` : mostStreams} are open.`,
      );
    this.#open.set(caller, mine + 1);
    return () => {
      const left = (this.#open.get(caller) ?? 1) - 1;
      if (left > 0) this.#open.set(caller, left);
      else this.#open.delete(caller);
    };
  }
}

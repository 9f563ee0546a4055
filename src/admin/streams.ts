import { ApiError } from './api-error.js';
import type { Caller } from './caller.js';

/** Less than the connections of the server, so that there are always some for other calls. */
const mostStreams = 50;
/** Of all tokens with labels: those of operators get one, whatever their customers have open. */
const mostLabelled = 30;
const mostOfOne = 20;

/** Counts the open streams: over all, of all tokens with labels, and of each token. */
export class Streams {
  readonly #open = new Map<string, number>();
  #all = 0;
  #labelled = 0;

  /** Counts one more; returns what to call at its end. Throws `too_many_streams`. */
  enter({ name, labels }: Pick<Caller, 'name' | 'labels'>): () => void {
    const mine = this.#open.get(name) ?? 0;
    if (mine >= mostOfOne) throw refusal(`${mostOfOne} of this token`);
    if (labels && this.#labelled >= mostLabelled) throw refusal(`${mostLabelled} of tokens with labels`);
    if (this.#all >= mostStreams) throw refusal(`${mostStreams}`);
    const count = (change: 1 | -1) => {
      const left = (this.#open.get(name) ?? 0) + change;
      if (left > 0) this.#open.set(name, left);
      else this.#open.delete(name);
      this.#all += change;
      if (labels) this.#labelled += change;
    };
    count(1);
    return () => count(-1);
  }
}

function refusal(many: string): ApiError {
  return new ApiError('too_many_streams', `${many} are open.`);
}

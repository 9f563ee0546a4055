import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { Api, LedgerEvent } from './api.js';
import { seen } from './seen.js';

/** As many of before as one call gives; not many more are kept. */
const mostKept = 1_000;
const retryMs = 5_000;

/**
 * What happens to all apps that the token may know of, as long as somebody sees the page. If it is not to be had, the page is only
 * slower.
 */
export class Feed {
  readonly #events: LedgerEvent[] = [];
  readonly #listeners = new Set<() => void>();
  #isOpen = false;
  #lastId: string | undefined;

  /** The latest events, in their order. */
  get events(): readonly LedgerEvent[] {
    return this.#events;
  }

  /** Whether events are told at once. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Calls the listener for each event, until what is returned is called. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Follows the stream, again and again, until the signal aborts. */
  async run(api: Api, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await seen(signal);
      const hidden = new AbortController();
      const look = () => document.visibilityState === 'hidden' && hidden.abort();
      document.addEventListener('visibilitychange', look);
      await this.#read(api, AbortSignal.any([signal, hidden.signal])).catch(() => {});
      document.removeEventListener('visibilitychange', look);
      this.#isOpen = false;
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }

  async #read(api: Api, signal: AbortSignal): Promise<void> {
    const body = await api.stream(`v1/events?follow=true&limit=${mostKept}`, this.#lastId, signal);
    const messages = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream()).getReader();
    this.#isOpen = true;
    for (;;) {
      const { done, value } = await messages.read();
      if (done) return;
      this.#lastId = value.id ?? this.#lastId;
      // Named messages are about the stream itself.
      if (value.event === undefined) this.#add(JSON.parse(value.data) as LedgerEvent);
    }
  }

  #add(event: LedgerEvent): void {
    this.#events.push(event);
    if (this.#events.length > mostKept) this.#events.shift();
    for (const listener of this.#listeners) listener();
  }
}

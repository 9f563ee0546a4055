import { setTimeout as sleep } from 'node:timers/promises';
import type { Documents, Wanted } from '../documents.js';
import { Draft } from '../draft.js';
import { commitCommand } from './commit.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';

export interface TransactionsOptions {
  readonly link: Link;
  readonly keys: Keys;
  /** Changes that the log holds, about. */
  readonly logLength: number;
}

/** A write of which nobody knows what became of it is looked for during this time, in milliseconds. */
const doubtLimitMs = 10_000;
const doubtPauseMs = 50;
/** Longest pause after a lost race, in milliseconds: two nodes that want the same must not get into each other's way for ever. */
const racePauseMs = 30;

type Texts = ReadonlyMap<string, string | undefined>;

/** A write that was sent and of whose outcome nothing is known. */
interface Attempt<T> {
  readonly draft: Draft;
  readonly result: T;
}

/**
 * Optimistic transactions: all documents are read by one command, a draft is made from them, and one script writes it if what was read
 * still stands. A draft that needs more documents is made again once they were read with the others.
 */
export class Transactions {
  readonly #options: TransactionsOptions;

  constructor(options: TransactionsOptions) {
    this.#options = options;
  }

  async view<T>(wanted: readonly Wanted[], read: (documents: Documents) => T): Promise<T> {
    const keys = this.#keysOf(wanted);
    for (;;) {
      const texts = await this.#fetch(keys);
      const result = read(this.#draft(keys, texts));
      if (keys.size === texts.size) return result;
    }
  }

  /**
   * See DocumentStore.write. If the answer to a write was lost, what it wrote tells whether it landed; if somebody else wrote since,
   * `write` runs again on what stands then.
   */
  async write<T>(wanted: readonly Wanted[], write: (documents: Documents) => T): Promise<T> {
    const { link, keys: names, logLength } = this.#options;
    const keys = this.#keysOf(wanted);
    const doubt = new Doubt<T>(() => !link.isClosed);
    for (;;) {
      const texts = await doubt.overcome(() => this.#fetch(keys));
      if (!texts) continue;
      const landed = doubt.attempts.find(({ draft }) => this.#stands(draft, texts));
      if (landed) return landed.result;
      const draft = this.#draft(keys, texts);
      const result = write(draft);
      if (keys.size > texts.size) continue;
      if (draft.isEmpty) return result;
      for (const { table, name } of draft.writes) keys.add(names.document(table, name));
      const commit = commitCommand(draft, texts, names, logLength);
      const attempt = doubt.begin({ draft, result });
      const answer = await doubt.overcome(() => link.one(commit));
      if (answer === 1) return result;
      if (answer === undefined) continue;
      doubt.end(attempt);
      await sleep(Math.random() * racePauseMs);
    }
  }

  #keysOf(wanted: readonly Wanted[]): Set<string> {
    return new Set(wanted.map(([table, name]) => this.#options.keys.document(table, name)));
  }

  async #fetch(keys: ReadonlySet<string>): Promise<Texts> {
    const all = [...keys];
    const values = await this.#options.link.values(all);
    return new Map(all.map((key, index) => [key, values[index]]));
  }

  /** Documents that it reads and that were not fetched are added to `keys`. */
  #draft(keys: Set<string>, texts: Texts): Draft {
    return new Draft((table, name) => {
      const key = this.#options.keys.document(table, name);
      keys.add(key);
      return texts.get(key);
    });
  }

  /** Whether all that the draft wrote is there. */
  #stands(draft: Draft, texts: Texts): boolean {
    for (const { table, name, text } of draft.writes)
      if (texts.get(this.#options.keys.document(table, name)) !== text) return false;
    return true;
  }
}

/** What is not known of the writes of one call. */
class Doubt<T> {
  readonly attempts: Attempt<T>[] = [];
  readonly #isOpen: () => boolean;
  #since: number | undefined;

  constructor(isOpen: () => boolean) {
    this.#isOpen = isOpen;
  }

  begin(attempt: Attempt<T>): Attempt<T> {
    this.attempts.push(attempt);
    return attempt;
  }

  /** It is known that the attempt wrote nothing. */
  end(attempt: Attempt<T>): void {
    this.attempts.splice(this.attempts.indexOf(attempt), 1);
  }

  /** Undefined, after a pause, if it failed and an attempt has to be looked for; throws the error if there is none, or the time is up. */
  async overcome<R>(run: () => Promise<R>): Promise<R | undefined> {
    try {
      return await run();
    } catch (error) {
      if (this.attempts.length === 0 || !this.#isOpen()) throw error;
      this.#since ??= performance.now();
      if (performance.now() - this.#since > doubtLimitMs) throw error;
      await sleep(doubtPauseMs);
      return undefined;
    }
  }
}

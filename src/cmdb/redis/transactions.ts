import { setTimeout as sleep } from 'node:timers/promises';
import type { Documents, Wanted } from '../documents.js';
import { Draft } from '../draft.js';
import { commitCommand, type CommitLimits } from './commit.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';

export interface TransactionsOptions {
  readonly link: Link;
  readonly keys: Keys;
  readonly limits: () => CommitLimits;
}

/** How long a write with an unknown outcome is looked for, in milliseconds. */
const doubtLimitMs = 10_000;
const doubtPauseMs = 50;
/** Longest random pause after a lost race, in milliseconds, so that two nodes do not collide for ever. */
const racePauseMs = 30;

type Texts = ReadonlyMap<string, string | undefined>;

/** A write that was sent, with an unknown outcome. */
interface Attempt<T> {
  readonly draft: Draft;
  readonly result: T;
}

/**
 * Optimistic transactions: one command reads all documents, a draft is made from them, and one script writes it if none has changed.
 * If the draft needs more documents, all are read and it is made again.
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
   * See DocumentStore.write. If the answer to a write was lost, the documents tell whether it landed; if another node wrote since,
   * `write` runs again on their newest state.
   */
  async write<T>(wanted: readonly Wanted[], write: (documents: Documents) => T): Promise<T> {
    const { link, keys: names, limits } = this.#options;
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
      const commit = commitCommand(draft, texts, names, limits());
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

  /** A draft that adds documents which it reads, but which were not fetched, to `keys`. */
  #draft(keys: Set<string>, texts: Texts): Draft {
    return new Draft((table, name) => {
      const key = this.#options.keys.document(table, name);
      keys.add(key);
      return texts.get(key);
    });
  }

  /** Whether all that the draft wrote is stored. */
  #stands(draft: Draft, texts: Texts): boolean {
    for (const { table, name, text } of draft.writes)
      if (texts.get(this.#options.keys.document(table, name)) !== text) return false;
    return true;
  }
}

/** The writes of one call whose outcome is unknown. */
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

  /** Call it when the attempt certainly wrote nothing. */
  end(attempt: Attempt<T>): void {
    this.attempts.splice(this.attempts.indexOf(attempt), 1);
  }

  /** Runs `run`. If it fails, gives undefined after a pause; rethrows if no attempt is in doubt, or the time is up. */
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

/** Looks one at a time. Callers that come while a look is under way share the next: theirs begins after they asked. */
export class FreshLook<T> {
  readonly #look: () => Promise<T>;
  #current: Promise<unknown> | undefined;
  #next: Promise<T> | undefined;

  constructor(look: () => Promise<T>) {
    this.#look = look;
  }

  get(): Promise<T> {
    if (this.#next) return this.#next;
    if (!this.#current) return this.#begin();
    return (this.#next = this.#current.then(() => {
      this.#next = undefined;
      return this.#begin();
    }));
  }

  #begin(): Promise<T> {
    const look = this.#look();
    this.#current = look
      .catch(() => {})
      .then(() => {
        this.#current = undefined;
      });
    return look;
  }
}

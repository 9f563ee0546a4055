/** A part of an exchange that hears sockets, parsers, streams and timers. */
export interface Breakable {
  /** Our own code failed on what a stranger sent: the exchange ends and gives its seat back. Must not throw. */
  broke(error: Error): void;
}

/**
 * A listener for what strangers cause. What it throws ends the exchange that it belongs to; without this it would reach
 * the process, and one answer of one app would end the dispatcher of all.
 */
export function contained<Args extends unknown[]>(
  owner: Breakable,
  listener: (...args: Args) => void,
): (...args: Args) => void {
  return (...args) => contain(owner, () => listener(...args));
}

/** The same for a piece of work at once. */
export function contain(owner: Breakable, work: () => void): void {
  try {
    work();
  } catch (error) {
    owner.broke(error instanceof Error ? error : new Error(String(error)));
  }
}

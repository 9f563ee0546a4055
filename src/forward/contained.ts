/** A part of an exchange that listens to sockets, parsers, streams and timers. */
export interface Breakable {
  /** Our own code failed on what a stranger sent: ends the exchange and gives its seat back. Must not throw. */
  broke(error: Error): void;
}

/**
 * A listener for what strangers cause. An error that it throws ends its own exchange; uncaught, it would end the process, and
 * one app's answer would cost the requests of all.
 */
export function contained<Args extends unknown[]>(
  owner: Breakable,
  listener: (...args: Args) => void,
): (...args: Args) => void {
  return (...args) => contain(owner, () => listener(...args));
}

/** The same for work that is done at once. */
export function contain(owner: Breakable, work: () => void): void {
  try {
    work();
  } catch (error) {
    owner.broke(error instanceof Error ? error : new Error(String(error)));
  }
}

import type { Booter } from '../boot/booter.js';
import { asRequestError, type RequestError } from '../model/errors.js';
import { shared } from '../model/shared-work.js';
import type { Holder } from '../uses/seat.js';
import type { LocalApp } from '../uses/local-app.js';

/** How a boot that a page waits for has ended. */
export type Awaited = 'ready' | RequestError;

/**
 * The boots that waiting pages wait for. One request of ours for each app waits in the place of all its pages, in the queue like any
 * other, and gives its seat back at once: a page that was closed does not end the boot, and open pages take no places.
 */
export class AwaitedBoots {
  readonly #booter: Pick<Booter, 'seat'>;
  readonly #waiting = new Map<string, Promise<Awaited>>();

  constructor(booter: Pick<Booter, 'seat'>) {
    this.#booter = booter;
  }

  /** Begins the boot, if none is under way, for the page of this request, and resolves to its end. Never rejects. */
  wait(local: LocalApp, by?: Holder): Promise<Awaited> {
    return shared(this.#waiting, local.name, () => this.#seatOnce(local, by));
  }

  /** The end of the boot if it is known at once: it has failed lately, or there is room already. */
  async waitBriefly(local: LocalApp, by: Holder): Promise<Awaited | 'booting'> {
    const turn = new Promise<'booting'>((resolve) => {
      setImmediate(resolve, 'booting');
    });
    return Promise.race([this.wait(local, by), turn]);
  }

  async #seatOnce(local: LocalApp, by: Holder | undefined): Promise<Awaited> {
    // It counts as no client's, so that no client's share is taken by it.
    const asked = by?.asked?.();
    const holder: Holder | undefined = asked && { client: undefined, asked: () => asked };
    try {
      const seat = await this.#booter.seat(local, new AbortController().signal, holder);
      seat.release();
      return 'ready';
    } catch (error) {
      return asRequestError(error);
    }
  }
}

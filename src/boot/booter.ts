import type { LocalApp } from '../uses/local-app.js';
import { mostOf } from '../uses/client-share.js';
import type { Holder, Seat } from '../uses/seat.js';
import { RequestError } from '../model/errors.js';
import { Herd, type HerdOptions, stepFor } from './herd.js';

export interface BooterOptions extends HerdOptions {
  /** Requests that may wait on this node, over all apps. */
  readonly maxWaiting: number;
  readonly onQueue: (app: string, length: number) => void;
}

/** Share of the free waiting places that one app alone may take. */
const queueShare = 0.5;

/** Boots on demand: a request without a seat joins the herd of its app; one with a seat never waits for the boot that it causes. */
export class Booter {
  readonly #options: BooterOptions;
  readonly #herds = new Map<string, Herd>();
  #waiting = 0;
  #stopped = false;

  constructor(options: BooterOptions) {
    this.#options = options;
    options.apps.onRecord((local) => this.#herds.get(local.name)?.wake());
    options.apps.onOverTarget((local) => this.#scaleOut(local));
  }

  /** A seat at a ready instance, booted if need be. Rejects with the RequestError to answer, or the signal's reason. */
  async seat(found: LocalApp, signal: AbortSignal, holder?: Holder): Promise<Seat> {
    const { apps, session, maxWaiting } = this.#options;
    const local = apps.keep(found);
    // Since the request came, this process may have been frozen.
    session.renewIfFrozen();
    const free = local.takeSeat(holder);
    if (free) return free;
    if (this.#stopped) throw new RequestError('shutting_down');
    const herd = this.#herdOf(local);
    try {
      const { room } = herd;
      const most = mostOf(maxWaiting - this.#waiting, queueShare);
      if (room.size >= most && !room.makeRoomFor(holder)) throw tooMany();
      return await this.#wait(herd, signal, holder);
    } finally {
      herd.settle();
    }
  }

  /** Has this node use a ready instance that a request belongs to, if it can. Never throws. */
  async useOf(found: LocalApp, instanceId: string): Promise<void> {
    const { apps, uses } = this.#options;
    if (this.#stopped) return;
    await uses.open(apps.keep(found), instanceId).catch(() => {});
  }

  /** A seat came free at an instance of this app. Never throws: it is called by the request that had the seat. */
  seatFreed(local: LocalApp): void {
    const herd = this.#herds.get(local.name);
    try {
      herd?.serve();
    } catch (error) {
      herd?.giveUp(error);
    }
  }

  /** Answers all requests that wait with this error; resolves when the boots, which are aborted before, have been cleaned up. */
  async stop(reason: RequestError): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#herds.values()].map((herd) => herd.stop(reason)));
  }

  async #wait(herd: Herd, signal: AbortSignal, holder: Holder | undefined): Promise<Seat> {
    const { local, room } = herd;
    const { onQueue } = this.#options;
    const waiting = room.wait(signal, holder);
    this.#waiting += 1;
    onQueue(local.name, room.size);
    herd.wake();
    try {
      return await waiting;
    } finally {
      this.#waiting -= 1;
      onQueue(local.name, room.size);
    }
  }

  /** Called in the tick of a request that has its seat. Never throws. */
  #scaleOut(local: LocalApp): void {
    const known = this.#herds.get(local.name);
    if (this.#stopped || known?.isReady === false) return;
    try {
      const step = known ? known.nextStep() : stepFor(local, 0, this.#options);
      if (step.kind !== 'wait') this.#herdOf(local).wake();
    } catch (error) {
      this.#herdOf(local).giveUp(error);
    }
  }

  #herdOf(local: LocalApp): Herd {
    const known = this.#herds.get(local.name);
    if (known) return known;
    const herd = new Herd(local, this.#options, () => this.#forget(herd));
    this.#herds.set(local.name, herd);
    local.holds += 1;
    return herd;
  }

  #forget(herd: Herd): void {
    const { local } = herd;
    if (this.#herds.get(local.name) !== herd) return;
    this.#herds.delete(local.name);
    local.holds -= 1;
    this.#options.apps.letGo(local);
  }
}

function tooMany(): RequestError {
  return new RequestError('queue_full', 'Too many requests wait on this server already.');
}

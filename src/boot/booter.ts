import type { Logger } from 'pino';
import type { LocalApp } from '../uses/local-app.js';
import type { LocalApps } from '../uses/local-apps.js';
import type { Holder, Seat } from '../uses/seat.js';
import type { NodeSession } from '../membership/session.js';
import { mostOf } from '../uses/client-share.js';
import type { Uses } from '../uses/uses.js';
import type { Clock } from '../model/clock.js';
import { asRequestError, levelOf, RequestError } from '../model/errors.js';
import { AppWork } from './app-work.js';
import type { BootPlaces } from './boot-places.js';
import type { BootPurpose } from './boot-permits.js';
import type { Claim } from './claim.js';
import type { ClaimedBoots } from './claimed-boots.js';
import type { Homes } from './homes.js';
import { nextStep, type NextStep } from './next-step.js';
import type { WaitingRoom } from './waiting-room.js';

export interface BooterOptions {
  readonly apps: LocalApps;
  readonly uses: Uses;
  readonly session: Pick<NodeSession, 'incarnation' | 'renewIfFrozen'>;
  readonly places: BootPlaces;
  readonly boots: ClaimedBoots;
  readonly homes: Homes;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Requests that may wait on this node, over all apps. */
  readonly maxWaiting: number;
  /** False while the store may not have this app yet though there is one. */
  readonly isComplete: (app: string) => boolean;
  readonly onQueue: (app: string, length: number) => void;
}

/** While requests wait and nothing happens, what is known is looked at again this often. */
const recheckMs = 1_000;
/** No boot of an app is tried again sooner where one could not even be claimed. */
const holdMs = 1_000;
/** Of the places that are left to wait, an app alone gets so many. */
const queueShare = 0.5;

/**
 * Start on demand: requests wait in their app's room, and whatever changes asks nextStep what to do for them: use an
 * instance, boot one, or several at once. Requests that have a place ask as well where they exceed the target, and never wait for it.
 */
export class Booter {
  readonly #options: BooterOptions;
  readonly #works = new Map<string, AppWork>();
  #waiting = 0;
  #stopped = false;

  constructor(options: BooterOptions) {
    this.#options = options;
    options.apps.onRecord((local) => this.#wake(this.#works.get(local.name)));
    options.apps.onOverTarget((local) => this.#scaleOut(local));
  }

  /** A seat at a ready instance, booted if need be. Rejects with the RequestError to answer, or the signal's reason. */
  async seat(found: LocalApp, signal: AbortSignal, holder?: Holder): Promise<Seat> {
    const local = this.#options.apps.keep(found);
    // Since the request came, the store was perhaps asked, and this process frozen.
    this.#options.session.renewIfFrozen();
    const free = local.takeSeat(holder);
    if (free) return free;
    const work = this.#workOf(local);
    try {
      const { room } = work;
      const most = mostOf(this.#options.maxWaiting - this.#waiting, queueShare);
      if (room.size >= most && !room.makeRoomFor(holder)) throw tooMany();
      return await this.#wait(work, signal, holder);
    } finally {
      this.#settle(work);
    }
  }

  /** A place came free at an instance of this app. Never throws: what had the place goes its own way. */
  seatFreed(local: LocalApp): void {
    const work = this.#works.get(local.name);
    if (!work) return;
    try {
      this.#serve(work.room);
    } catch (error) {
      this.#giveUp(work, error);
    }
  }

  /** After a freeze nothing is sent before this node's uses stand again: checking closes them. */
  #serve(room: WaitingRoom): void {
    this.#options.session.renewIfFrozen();
    room.serve();
  }

  /** Sends everyone away and gives up the boots under way; resolves when they have been cleaned up. */
  async stop(): Promise<void> {
    const reason = new RequestError('shutting_down');
    this.#stopped = true;
    this.#options.boots.abort(reason);
    const works = [...this.#works.values()];
    for (const { room } of works) room.dismiss(reason);
    await Promise.all(works.flatMap(({ looping = Promise.resolve(), boots }) => [looping, ...boots]));
  }

  async #wait(work: AppWork, signal: AbortSignal, holder: Holder | undefined): Promise<Seat> {
    const { local, room } = work;
    const waiting = room.wait(signal, holder);
    this.#waiting += 1;
    this.#options.onQueue(local.name, room.size);
    this.#wake(work);
    try {
      return await waiting;
    } finally {
      this.#waiting -= 1;
      this.#options.onQueue(local.name, room.size);
    }
  }

  /** In the tick of a request that has its place already. Never throws. */
  #scaleOut(local: LocalApp): void {
    const known = this.#works.get(local.name);
    if (known?.isBusy || known?.hold || this.#stopped) return;
    try {
      if (this.#nextStep(local, known?.unclaimed ?? 0).kind !== 'wait') this.#wake(this.#workOf(local));
    } catch (error) {
      this.#giveUp(this.#workOf(local), error);
    }
  }

  #workOf(local: LocalApp): AppWork {
    const known = this.#works.get(local.name);
    if (known) return known;
    const work = new AppWork(local, this.#options.clock);
    this.#works.set(local.name, work);
    return work;
  }

  /** Forgets the work where none is left. */
  #settle(work: AppWork): void {
    if (!work.isDone || this.#works.get(work.local.name) !== work) return;
    this.#works.delete(work.local.name);
    work.end();
    this.#options.apps.letGo(work.local);
  }

  #nextStep(local: LocalApp, unclaimed: number): NextStep {
    const { deployment, app, uses, waiting, heldBack } = local;
    const { session, homes, clock } = this.#options;
    const me = session.incarnation;
    return nextStep({ deployment, app, uses, waiting, heldBack, unclaimed, me, home: homes.of(local) }, clock.now());
  }

  #wake(work: AppWork | undefined): void {
    if (!work || work.isBusy || this.#stopped) return;
    work.isBusy = true;
    work.looping = this.#loop(work);
  }

  /** Works until nothing can be done but wait for a change. Boots go on beside it. */
  async #loop(work: AppWork): Promise<void> {
    const { local, room } = work;
    const { isComplete } = this.#options;
    try {
      while (!this.#stopped) {
        this.#serve(room);
        // A store that came back empty does not know it yet: the apps are about to be applied again.
        if (local.removed && !isComplete(local.name)) return;
        if (local.removed) return room.dismiss(new RequestError('unknown_domain'));
        const step = this.#nextStep(local, work.unclaimed);
        if (step.kind === 'wait') return;
        if (step.kind === 'refuse') return room.dismiss(step.error);
        if (step.kind === 'use') await this.#use(local, step.instanceId);
        else if (work.hold) return;
        else this.#boot(work, step.scaleOut ? 'scale_out' : 'first', step.at);
      }
    } catch (error) {
      this.#giveUp(work, error);
    } finally {
      work.isBusy = false;
      if (room.size > 0) work.recheckAfter(recheckMs, () => this.#wake(work));
      this.#settle(work);
    }
  }

  async #use(local: LocalApp, instanceId: string): Promise<void> {
    const { apps, uses } = this.#options;
    if (!(await uses.open(local, instanceId))) await apps.refresh(local.name);
  }

  #boot(work: AppWork, purpose: BootPurpose, at: string | undefined): void {
    work.unclaimed += 1;
    const boot = (at === undefined ? this.#claimAndBoot(work, purpose) : this.#ask(work, at))
      .catch((error: unknown) => this.#giveUp(work, error))
      .finally(() => {
        work.boots.delete(boot);
        this.#wake(work);
        this.#settle(work);
      });
    work.boots.add(boot);
  }

  async #claimAndBoot(work: AppWork, purpose: BootPurpose): Promise<void> {
    const { claim, giveBack } = await this.#begin(work, purpose);
    try {
      if (claim) await this.#carryOut(work, claim);
    } finally {
      giveBack();
    }
  }

  /** The machine that has its data boots it: permit and memory are taken there. */
  async #ask(work: AppWork, host: string): Promise<void> {
    try {
      if (!(await this.#options.boots.ask(work.local, host))) this.#hold(work);
    } finally {
      work.unclaimed -= 1;
    }
  }

  /** A permit and memory are taken before the claim; there is none where nobody needs it any more, or another node was first. */
  async #begin(work: AppWork, purpose: BootPurpose): Promise<{ claim: Claim | undefined; giveBack: () => void }> {
    let giveBack = () => {};
    try {
      // Those who needed it may have gone, or been served, while there was no place.
      const isWanted = () => !this.#stopped && this.#nextStep(work.local, work.unclaimed - 1).kind === 'boot';
      const place = await this.#options.places.take(work.local, purpose, isWanted);
      if (!place) return { claim: undefined, giveBack };
      giveBack = place;
      const claim = await this.#options.boots.claim(work.local, purpose);
      if (!claim) this.#hold(work);
      return { claim, giveBack };
    } catch (error) {
      giveBack();
      throw error;
    } finally {
      work.unclaimed -= 1;
    }
  }

  async #carryOut(work: AppWork, claim: Claim): Promise<void> {
    work.underWay += 1;
    const outcome = await this.#options.boots.carryOut(work.local, claim).finally(() => (work.underWay -= 1));
    if (outcome.kind === 'ready') return this.#serve(work.room);
    // Those who wait are served by the next attempt.
    if (outcome.kind === 'claim_gone') return;
    if (!outcome.fallsBack && !this.#mayBeServed(work)) work.room.dismiss(outcome.error);
    await outcome.cleanedUp;
  }

  /** Nothing came of it: whoever can be served by something else goes on waiting for that. */
  #giveUp(work: AppWork, error: unknown): void {
    this.#options.logger[levelOf(error)]({ err: error, app: work.local.name }, 'could not use or boot an instance');
    this.#hold(work);
    const isInUse = [...work.local.uses.values()].some((use) => !use.closed);
    if (!isInUse && work.unclaimed + work.underWay === 0) work.room.dismiss(asRequestError(error));
  }

  /** Whether something other than the boot that just failed serves, or is about to. */
  #mayBeServed({ local, unclaimed, underWay }: AppWork): boolean {
    const me = this.#options.session.incarnation;
    return (
      unclaimed + underWay > 0 ||
      local.deployment.instances.some(({ state, owner }) => state === 'ready' || (state === 'booting' && owner !== me))
    );
  }

  #hold(work: AppWork): void {
    work.holdFor(holdMs, () => {
      this.#wake(work);
      this.#settle(work);
    });
  }
}

function tooMany(): RequestError {
  return new RequestError('queue_full', 'Too many requests wait on this server already.');
}

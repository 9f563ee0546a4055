import type { Logger } from 'pino';
import type { LocalApp } from '../uses/local-app.js';
import type { LocalApps } from '../uses/local-apps.js';
import type { NodeSession } from '../membership/session.js';
import type { Suspensions } from '../uses/suspensions.js';
import type { Uses } from '../uses/uses.js';
import type { Clock, Timer } from '../model/clock.js';
import { claimBoot } from '../model/deployment.js';
import type { Note } from '../model/ledger/facts.js';
import { asRequestError, levelOf, RequestError } from '../model/errors.js';
import { isSuspended } from '../model/instance.js';
import { maintenanceError } from '../model/maintenance.js';
import type { BootProcedure } from './boot-procedure.js';
import type { BootOutcome, ClaimedBoots } from './claimed-boots.js';
import type { BootHosts } from './boot-hosts.js';
import { nextStep, type NextStep } from './next-step.js';
import { WaitingRoom } from './waiting-room.js';

export interface HerdOptions {
  readonly apps: LocalApps;
  readonly uses: Uses;
  readonly session: Pick<NodeSession, 'incarnation' | 'renewIfFrozen'>;
  readonly procedure: BootProcedure;
  readonly boots: ClaimedBoots;
  readonly suspensions: Pick<Suspensions, 'resume'>;
  readonly hosts: BootHosts;
  readonly clock: Clock;
  readonly logger: Logger;
  /** False while the store may lack this app though there is one. */
  readonly isComplete: (app: string) => boolean;
}

/** Interval between looks while requests wait and nothing happens. */
const recheckMs = 1_000;
/** Pause before the next boot of an app after one that could not be claimed. */
const holdMs = 1_000;

interface Boot {
  /** Its claim is not written yet, its outcome is open, or it is being cleaned up. */
  stage: 'unclaimed' | 'open' | 'over';
  ended: Promise<void>;
}

/**
 * The requests of one app that wait on this node or exceed its target, and the boots for all of them together. After each change
 * one loop asks nextStep what to do, and does it.
 */
export class Herd {
  readonly local: LocalApp;
  readonly room: WaitingRoom;
  readonly #options: HerdOptions;
  readonly #onDone: () => void;
  readonly #boots = new Set<Boot>();
  #isLooping = false;
  #loop: Promise<void> | undefined;
  /** While it is set, no boot begins. */
  #hold: Timer | undefined;
  #recheck: Timer | undefined;
  #stopped = false;

  /** `onDone` is called when it has nothing to do; perhaps more than once. */
  constructor(local: LocalApp, options: HerdOptions, onDone: () => void) {
    this.local = local;
    this.#options = options;
    this.#onDone = onDone;
    this.room = new WaitingRoom(local, options.clock);
  }

  /** What it would do now. */
  nextStep(): NextStep {
    return stepFor(this.local, this.#count('unclaimed'), this.#options);
  }

  /** Whether it would begin a boot at once. */
  get isReady(): boolean {
    return !this.#isLooping && this.#hold === undefined && !this.#stopped;
  }

  /** Takes the next steps, unless it is at it already. */
  wake(): void {
    if (this.#isLooping || this.#stopped) return;
    this.#isLooping = true;
    this.#loop = this.#work();
  }

  /** Gives free seats to requests that wait. After a freeze there are none: this node's uses are closed until they are renewed. */
  serve(): void {
    this.#options.session.renewIfFrozen();
    this.room.serve();
  }

  /** After a step that failed: pauses, and answers the requests that wait with the error unless something else may serve them. */
  giveUp(error: unknown): void {
    const { name, uses } = this.local;
    this.#options.logger[levelOf(error)]({ err: error, app: name }, 'could not use or boot an instance');
    this.#holdOff();
    const isInUse = [...uses.values()].some((use) => !use.closed);
    if (!isInUse && !this.#isBooting) this.room.dismiss(asRequestError(error));
  }

  /** Calls `onDone` if it has nothing to do. */
  settle(): void {
    if (this.room.size > 0 || this.#boots.size > 0 || this.#isLooping || this.#hold) return;
    this.#recheck?.cancel();
    this.#onDone();
  }

  /** Answers all requests that wait with this error; resolves when the boots, which are aborted before, have been cleaned up. */
  async stop(reason: RequestError): Promise<void> {
    this.#stopped = true;
    this.#hold?.cancel();
    this.#recheck?.cancel();
    this.room.dismiss(reason);
    await Promise.all([this.#loop, ...[...this.#boots].map(({ ended }) => ended)]);
  }

  #count(stage: Boot['stage']): number {
    let count = 0;
    for (const boot of this.#boots) if (boot.stage === stage) count += 1;
    return count;
  }

  get #isBooting(): boolean {
    return this.#count('unclaimed') + this.#count('open') > 0;
  }

  /** Takes steps until there is nothing to do but wait for a change. Boots go on beside it. */
  async #work(): Promise<void> {
    const { local, room } = this;
    const { clock, isComplete } = this.#options;
    try {
      while (!this.#stopped) {
        this.serve();
        // A replaced store may lack the app until the files are applied to it.
        if (local.removed && !isComplete(local.name)) return;
        if (local.removed) return room.dismiss(new RequestError('unknown_domain'));
        const step = this.nextStep();
        if (step.kind === 'wait') return;
        if (step.kind === 'refuse') return room.dismiss(step.error);
        if (step.kind === 'use') await this.#use(step.instanceId);
        else if (step.kind === 'resume' && !this.#hold) await this.#resume(step.instanceId);
        else if (step.kind === 'resume') return;
        else if (!step.scaleOut && room.refuseUnwelcome()) continue;
        else if (this.#hold) return;
        else this.#begin(step);
      }
    } catch (error) {
      this.giveUp(error);
    } finally {
      this.#isLooping = false;
      if (room.size > 0 && !this.#stopped) {
        this.#recheck?.cancel();
        this.#recheck = clock.after(recheckMs, () => this.wake());
      }
      this.settle();
    }
  }

  async #use(instanceId: string): Promise<void> {
    const { apps, uses } = this.#options;
    if (!(await uses.open(this.local, instanceId))) await apps.refresh(this.local.name);
  }

  /** One that was frozen is ready again within milliseconds: whoever waits may use it, whatever rules there are for a boot. */
  async #resume(instanceId: string): Promise<void> {
    const { done } = await this.#options.suspensions.resume(this.local, instanceId);
    void done.then(() => this.serve());
  }

  #begin({ scaleOut, at }: Extract<NextStep, { kind: 'boot' }>): void {
    const boot: Boot = { stage: 'unclaimed', ended: Promise.resolve() };
    this.#boots.add(boot);
    const begun = at === undefined ? this.#boot(boot, scaleOut ? 'scale_out' : 'first') : this.#ask(at);
    boot.ended = begun
      .catch((error: unknown) => {
        boot.stage = 'over';
        this.giveUp(error);
      })
      .finally(() => {
        this.#boots.delete(boot);
        this.wake();
        this.settle();
      });
  }

  async #boot(boot: Boot, purpose: 'first' | 'scale_out'): Promise<void> {
    const { local } = this;
    const { procedure, boots } = this.#options;
    await procedure.boot(local, {
      purpose,
      // The requests that needed it may have been served, or have gone, while it waited.
      isWanted: () => !this.#stopped && stepFor(local, this.#count('unclaimed') - 1, this.#options).kind === 'boot',
      claim: () => boots.claim(local, purpose, claimBoot, this.#note()),
      onClaim: (claim) => {
        boot.stage = claim ? 'open' : 'over';
        if (!claim) this.#holdOff();
      },
      onOutcome: (outcome) => {
        boot.stage = 'over';
        this.#learn(outcome);
      },
    });
  }

  /** A node of that host boots it, and takes permit and memory there. */
  async #ask(host: string): Promise<void> {
    if (!(await this.#options.boots.ask(this.local, host, claimBoot, this.#note()))) this.#holdOff();
  }

  /** For which request it boots, if one still waits. */
  #note(): Note {
    const request = this.room.first?.asked?.();
    return request ? { request } : {};
  }

  /** If the claim was taken away, requests go on waiting, for the next attempt. */
  #learn(outcome: BootOutcome): void {
    if (outcome.kind === 'ready') this.serve();
    else if (outcome.kind === 'failed' && !outcome.fallsBack && !this.#mayBeServed) this.room.dismiss(outcome.error);
  }

  /** Whether anything but the boot that just failed may serve the requests that wait. */
  get #mayBeServed(): boolean {
    const me = this.#options.session.incarnation;
    const { instances } = this.local.deployment;
    return (
      this.#isBooting ||
      instances.some(
        (each) => each.state === 'ready' || isSuspended(each) || (each.state === 'booting' && each.owner !== me),
      )
    );
  }

  #holdOff(): void {
    if (this.#stopped) return;
    this.#hold?.cancel();
    this.#hold = this.#options.clock.after(holdMs, () => {
      this.#hold = undefined;
      this.wake();
      this.settle();
    });
  }
}

/** `unclaimed`: boots of this node for the app that have not written their claim yet. */
export function stepFor(
  local: LocalApp,
  unclaimed: number,
  { session, hosts, clock }: Pick<HerdOptions, 'session' | 'hosts' | 'clock'>,
): NextStep {
  const { deployment, app, uses, waiting, heldBack, maintenance } = local;
  if (maintenance)
    return maintenance.mode === 'hold' ? { kind: 'wait' } : { kind: 'refuse', error: maintenanceError(maintenance) };
  const me = session.incarnation;
  return nextStep({ deployment, app, uses, waiting, heldBack, unclaimed, me, hosts }, clock.now());
}

import type { Logger } from 'pino';
import type { LocalApp } from '../check/local-app.js';
import type { LocalApps } from '../check/local-apps.js';
import type { Seat } from '../check/seat.js';
import type { NodeSession } from '../check/session.js';
import type { Uses } from '../check/uses.js';
import { revisionOf, type App, type RuntimeName } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import type { RandomBytes } from '../model/random-bytes.js';
import {
  bootFailed,
  bootRefused,
  bootSucceeded,
  claimBoot,
  findInstance,
  startTerminate,
} from '../model/deployment.js';
import { asRequestError, RequestError } from '../model/errors.js';
import type { Runtime } from '../runtime/runtime.js';
import type { BootSlots } from './boot-slots.js';
import { BootError, bootInstance, type BootedInstance } from './instance-boot.js';
import { nextStep } from './next-step.js';
import type { Probe } from './readiness.js';
import { WaitingRoom } from './waiting-room.js';

export type BootResult = 'ready' | 'failed' | 'timeout' | 'aborted';

export interface BooterOptions {
  readonly apps: LocalApps;
  readonly uses: Uses;
  readonly session: NodeSession;
  readonly slots: BootSlots;
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  /** Name of this machine in instances. */
  readonly host: string;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly probe: Probe;
  readonly logger: Logger;
  /** Ends an instance whose doom is written. */
  readonly terminate: (app: string, instanceId: string) => void;
  readonly onBoot: (runtime: RuntimeName, result: BootResult, phases: Record<string, number>) => void;
  readonly onQueue: (app: string, length: number) => void;
}

/** While requests wait and nothing happens, what is known is looked at again this often. */
const recheckMs = 1_000;
/** Pause between attempts to write a boot's success while the store cannot be reached. */
const rewriteMs = 500;
const outputBytes = 4_096;

/** Start on demand: requests wait in their app's room, one piece of work per app finds or boots an instance for them. */
export class Booter {
  readonly #options: BooterOptions;
  readonly #rooms = new Map<string, WaitingRoom>();
  readonly #working = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();

  constructor(options: BooterOptions) {
    this.#options = options;
    options.apps.onRecord((local) => this.#wake(local));
  }

  /** A seat at a ready instance, booted if need be. Rejects with the RequestError to answer, or the signal's reason. */
  async seat(found: LocalApp, signal: AbortSignal): Promise<Seat> {
    const local = this.#options.apps.keep(found);
    const free = local.takeSeat();
    if (free) return free;
    const room = this.#room(local);
    const waiting = room.wait(signal);
    this.#options.onQueue(local.name, room.size);
    this.#wake(local);
    try {
      return await waiting;
    } finally {
      this.#leave(local, room);
    }
  }

  /** A place came free at an instance of this app. */
  seatFreed(local: LocalApp): void {
    this.#rooms.get(local.name)?.serve();
  }

  /** Requests that wait, over all apps. */
  get waiting(): number {
    return [...this.#rooms.values()].reduce((sum, room) => sum + room.size, 0);
  }

  /** Sends everyone away and gives up the boots under way; resolves when they have been cleaned up. */
  async stop(): Promise<void> {
    const reason = new RequestError('shutting_down');
    this.#stop.abort(reason);
    for (const room of this.#rooms.values()) room.dismiss(reason);
    await Promise.all(this.#working.values());
  }

  #room(local: LocalApp): WaitingRoom {
    const known = this.#rooms.get(local.name);
    if (known) return known;
    const room = new WaitingRoom(local, this.#options.clock);
    this.#rooms.set(local.name, room);
    return room;
  }

  #leave(local: LocalApp, room: WaitingRoom): void {
    this.#options.onQueue(local.name, room.size);
    if (room.size > 0) return;
    if (this.#rooms.get(local.name) === room) this.#rooms.delete(local.name);
    this.#options.apps.letGo(local);
  }

  #wake(local: LocalApp): void {
    const room = this.#rooms.get(local.name);
    // A timer may still hold an object of this app that was let go since: what it says is not true any more.
    if (!room || room.local !== local || room.size === 0 || this.#working.has(local.name)) return;
    local.pins += 1;
    const work = this.#work(local, room).finally(() => {
      local.pins -= 1;
      this.#working.delete(local.name);
      if (room.size > 0) this.#options.clock.after(recheckMs, () => this.#wake(local));
      else this.#options.apps.letGo(local);
    });
    this.#working.set(local.name, work);
  }

  /** Works until nobody waits, or nothing can be done but wait for a change. */
  async #work(local: LocalApp, room: WaitingRoom): Promise<void> {
    const { apps, uses, clock } = this.#options;
    try {
      while (room.size > 0 && !this.#stop.signal.aborted) {
        room.serve();
        if (room.size === 0) return;
        if (local.removed) return room.dismiss(new RequestError('unknown_domain'));
        const step = nextStep(local.deployment, local.app, new Set(local.uses.keys()), clock.now());
        if (step.kind === 'wait') return;
        if (step.kind === 'refuse') return room.dismiss(step.error);
        if (step.kind === 'boot') await this.#boot(local, room);
        else if (!(await uses.open(local, step.instanceId))) await apps.refresh(local.name);
      }
    } catch (error) {
      room.dismiss(asRequestError(error, 'boot_failed'));
    }
  }

  async #boot(local: LocalApp, room: WaitingRoom): Promise<void> {
    const { slots, session } = this.#options;
    const giveBack = await slots.take();
    try {
      // Those who waited may all have gone while there was no slot.
      if (room.size === 0 || this.#stop.signal.aborted) return;
      const claim = await this.#claim(local, await session.ensureRegistered());
      if (claim) await this.#carryOut(local, room, claim.app, claim.id);
    } finally {
      giveBack();
    }
  }

  /** Writes the claim before the runtime is called. Undefined where another node was first. */
  async #claim(local: LocalApp, owner: string): Promise<{ app: App; id: string } | undefined> {
    const { apps, host, clock, randomBytes } = this.#options;
    const id = `${local.name}-${randomBytes(6).toString('hex')}`;
    let app = local.app;
    const deployment = await apps.update(local.name, (current, stored) => {
      if (!stored) return current;
      app = stored;
      return claimBoot(current, app, { id, revision: revisionOf(app), host, owner }, clock.now());
    });
    return findInstance(deployment, id)?.owner === owner ? { app, id } : undefined;
  }

  async #carryOut(local: LocalApp, room: WaitingRoom, app: App, id: string): Promise<void> {
    const { clock, probe, logger, onBoot } = this.#options;
    const from = clock.monotonic();
    logger.info({ app: app.name, instance: id, runtime: app.runtime }, 'booting');
    try {
      const booted = await bootInstance({
        spec: { id, app, revision: revisionOf(app) },
        runtime: this.#runtimeOf(app),
        probe,
        clock,
        signal: this.#stop.signal,
      });
      await this.#succeed(local, room, id, booted, clock.now() + app.bootTimeoutMs);
      const ms = Math.round(clock.monotonic() - from);
      logger.info({ app: app.name, instance: id, address: booted.address, ms, phases: booted.phases }, 'ready');
      onBoot(app.runtime, 'ready', booted.phases);
    } catch (error) {
      await this.#fail(local, room, app, id, error);
    }
  }

  #runtimeOf(app: App): Runtime {
    const runtime = this.#options.runtimes.get(app.runtime);
    if (runtime) return runtime;
    throw new BootError('boot_failed', `there is no runtime '${app.runtime}' in this version`, {
      nothingLeft: true,
    });
  }

  /** The container runs: whatever the store says at the moment, this is written until it stands or the claim runs out. */
  async #succeed(
    local: LocalApp,
    room: WaitingRoom,
    id: string,
    booted: BootedInstance,
    deadlineAt: number,
  ): Promise<void> {
    const { apps, uses, session, clock } = this.#options;
    for (;;) {
      try {
        const report = { address: booted.address, boot: booted.phases, user: session.incarnation };
        await apps.update(local.name, (current) => bootSucceeded(current, id, report, clock.now()));
        break;
      } catch (error) {
        if (clock.now() > deadlineAt || this.#stop.signal.aborted) throw error;
        await new Promise<void>((resolve) => clock.after(rewriteMs, resolve));
      }
    }
    if (!uses.takeUp(local, id)) throw new BootError('boot_failed', 'the claim of this boot was taken away meanwhile');
    room.serve();
  }

  async #fail(local: LocalApp, room: WaitingRoom, app: App, id: string, error: unknown): Promise<void> {
    const { apps, session, clock, logger, onBoot, terminate } = this.#options;
    const failure =
      error instanceof BootError ? error : new BootError('boot_failed', error instanceof Error ? error.message : '');
    const aborted = this.#stop.signal.aborted;
    room.dismiss(error instanceof RequestError ? error : new RequestError(failure.code, undefined, { cause: failure }));
    onBoot(app.runtime, aborted ? 'aborted' : failure.code === 'boot_timeout' ? 'timeout' : 'failed', {});
    if (!aborted) {
      const output = await this.#lastOutput(app, id);
      logger.error({ app: app.name, instance: id, cause: failure.message, output }, 'the boot failed');
    }
    const { code, message, nothingLeft } = failure;
    if (nothingLeft && !aborted) {
      await apps.update(local.name, (current) => bootRefused(current, id, { code, message }, clock.now()));
      return;
    }
    const termination = {
      owner: session.incarnation,
      reason: aborted ? ('stopped' as const) : ('boot_failed' as const),
      stopTimeoutMs: app.stopTimeoutMs,
    };
    await apps.update(local.name, (current) =>
      aborted
        ? startTerminate(current, id, termination, clock.now())
        : bootFailed(current, id, { code, message }, termination, clock.now()),
    );
    terminate(app.name, id);
  }

  async #lastOutput(app: App, id: string): Promise<string> {
    const output = await this.#options.runtimes
      .get(app.runtime)
      ?.output(id, outputBytes)
      .catch(() => '');
    return output ?? '';
  }
}

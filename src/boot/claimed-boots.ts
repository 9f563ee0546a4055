import type { Logger } from 'pino';
import type { LocalApp } from '../uses/local-app.js';
import type { LocalApps } from '../uses/local-apps.js';
import type { NodeSession } from '../membership/session.js';
import type { StoreHealth } from '../membership/store-health.js';
import type { OwnedInstances } from '../uses/owned-instances.js';
import type { Uses } from '../uses/uses.js';
import { revisionOf, type App, type RuntimeName } from '../model/app.js';
import { type Clock, sleep } from '../model/clock.js';
import type { RandomBytes } from '../model/random-bytes.js';
import { takeBoot } from '../model/asked-boot.js';
import type { DeploymentChange, Updated } from '../cmdb/cmdb.js';
import {
  type BootClaim,
  bootFailed,
  bootRefused,
  claimBoot,
  findInstance,
  startTerminate,
} from '../model/deployment.js';
import { asRequestError, isDefect, levelOf, RequestError } from '../model/errors.js';
import { canFallBack, standIn } from '../model/last-good.js';
import { bootHostOf, pinOf } from '../model/pin.js';
import type { Sight } from '../model/instance.js';
import type { Note } from '../model/ledger/facts.js';
import type { Runtime } from '../runtime/runtime.js';
import type { BootPurpose } from './boot-permits.js';
import { writeSuccess } from './boot-success.js';
import { type Claim, withoutClaim } from './claim.js';
import { unlessAborted } from '../model/unless-aborted.js';
import { BootError, bootInstance, type BootedInstance } from './instance-boot.js';
import type { Probe } from '../machine/probe.js';

export type BootResult = 'ready' | 'failed' | 'timeout' | 'aborted';

export interface ClaimedBootsOptions {
  readonly apps: LocalApps;
  readonly uses: Uses;
  readonly owned: OwnedInstances;
  readonly session: Pick<NodeSession, 'incarnation' | 'ensureRegistered' | 'isOwn' | 'renewIfFrozen'>;
  readonly store: Pick<StoreHealth, 'isComplete' | 'complete'>;
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  /** Adds a runtime to them, if it is not there. */
  readonly openRuntime?: ((name: RuntimeName) => Promise<void>) | undefined;
  /** What this node sees. */
  readonly sight: Sight;
  /** Whether an app with local mounts stays on the machine of its first boot. */
  readonly pins: boolean;
  readonly clock: Clock;
  readonly randomBytes: RandomBytes;
  readonly probe: Probe;
  readonly logger: Logger;
  /** Resolves when the CMDB shows all containers of this app. */
  readonly settled: (local: LocalApp) => Promise<void>;
  /** Ends an instance that is written as terminating. */
  readonly terminate: (app: string, instanceId: string) => void;
  readonly onBoot: (
    runtime: RuntimeName,
    purpose: BootPurpose,
    result: BootResult,
    phases: Record<string, number>,
  ) => void;
}

/** Writes the claim into the deployment; unchanged if the boot is not allowed. */
export type ClaimChange = typeof claimBoot;

/**
 * `claim_gone`: the container runs, but its claim was taken away meanwhile; reconcile adopts or ends it.
 * `cleanedUp` resolves when the end of what the boot left is written; rejects if the store cannot be reached.
 */
export type BootOutcome =
  | { readonly kind: 'ready' }
  | { readonly kind: 'claim_gone' }
  | {
      readonly kind: 'failed';
      readonly result: Exclude<BootResult, 'ready'>;
      readonly error: RequestError;
      /** The last good revision can be booted as soon as this is cleaned up. */
      readonly fallsBack: boolean;
      readonly cleanedUp: Promise<void>;
    };

/** Pause between attempts to write a boot's success while the store cannot be reached. */
const rewriteMs = 500;
const outputBytes = 4_096;

/** One boot from its claim to a ready instance that this node uses, or to a failure of which nothing is left. */
export class ClaimedBoots {
  readonly #options: ClaimedBootsOptions;
  readonly #stop = new AbortController();
  /** What breaks off the boots under way, by instance id. */
  readonly #underWay = new Map<string, AbortController>();

  constructor(options: ClaimedBootsOptions) {
    this.#options = options;
    options.apps.onRecord((local) => this.#breakOffStopped(local));
  }

  /** Writes the claim of a boot. Undefined if the app may have no more instances, or may no longer boot here. */
  async claim(
    local: LocalApp,
    purpose: BootPurpose,
    change: ClaimChange = claimBoot,
    note?: Note,
  ): Promise<Claim | undefined> {
    const { session, sight, settled } = this.#options;
    await unlessAborted(settled(local), this.#stop.signal);
    const owner = await session.ensureRegistered();
    const claimed = await this.#write(local, change, { ...sight, owner }, note);
    return claimed && this.#begin({ ...claimed, purpose, owner });
  }

  /** Claims a boot that a node of another host carries out. False if it is no longer allowed. */
  async ask(local: LocalApp, host: string, change: ClaimChange = claimBoot, note?: Note): Promise<boolean> {
    const { session, store } = this.#options;
    await unlessAborted(store.complete(), this.#stop.signal);
    const claimed = await this.#write(local, change, { host, askedBy: await session.ensureRegistered() }, note);
    if (claimed)
      this.#options.logger.info({ app: local.name, instance: claimed.id, host }, 'asking its host for a boot');
    return claimed !== undefined;
  }

  /** Takes up a claim that was made for this host. Undefined if another node was first, or the claim is gone. */
  async take(local: LocalApp, id: string, purpose: BootPurpose): Promise<Claim | undefined> {
    const { apps, session, sight, clock, settled } = this.#options;
    await unlessAborted(settled(local), this.#stop.signal);
    const owner = await session.ensureRegistered();
    const updated = await apps.update(local.name, (current, stored) =>
      stored ? takeBoot(current, stored, id, { ...sight, owner }, clock.now()) : current,
    );
    const taken = bootingIn(updated, id);
    return taken?.instance.owner === owner ? this.#begin({ ...taken, purpose, owner }) : undefined;
  }

  /** Withdraws a claim during whose write this node stopped, or its session was renewed: the app has to be looked at again. */
  async #begin(claim: Claim): Promise<Claim | undefined> {
    const { session } = this.#options;
    session.renewIfFrozen();
    if (this.#stop.signal.aborted || claim.owner !== session.incarnation) {
      await this.#withdraw(claim);
      return undefined;
    }
    this.#options.owned.add(claim);
    return claim;
  }

  /** Removes a claim of which nothing runs. While the store is away, it is tried again in the background. */
  async #withdraw(claim: Claim): Promise<void> {
    const { apps, clock, logger } = this.#options;
    try {
      await apps.update(claim.app.name, (current) => withoutClaim(current, claim));
    } catch (error) {
      const fields = { err: error, app: claim.app.name, instance: claim.id };
      logger[levelOf(error)](fields, 'could not withdraw the claim of a boot');
      if (!this.#stop.signal.aborted) clock.after(rewriteMs, () => void this.#withdraw(claim));
    }
  }

  async #write(
    local: LocalApp,
    change: ClaimChange,
    by: Omit<BootClaim, 'id'>,
    note: Note | undefined,
  ): Promise<Pick<Claim, 'id' | 'app' | 'instance'> | undefined> {
    const { apps, session, pins, sight, clock, randomBytes } = this.#options;
    const id = `${local.name}-${randomBytes(6).toString('hex')}`;
    const claim: DeploymentChange = (current, stored) => {
      if (!stored || (by.owner !== undefined && by.owner !== session.incarnation)) return current;
      // It may have been pinned or moved since it was decided where to boot.
      const host = (pins ? bootHostOf(current, stored) : undefined) ?? sight.host;
      return host === by.host ? change(current, stored, { id, ...by }, clock.now()) : current;
    };
    const updated = await apps.update(local.name, claim, note);
    return bootingIn(updated, id);
  }

  /** Boots a claimed instance. Never throws. */
  async carryOut(local: LocalApp, claim: Claim): Promise<BootOutcome> {
    const { clock, probe, logger, onBoot } = this.#options;
    const { id, app, purpose } = claim;
    const from = clock.monotonic();
    logger.info({ app: app.name, instance: id, runtime: app.runtime, purpose }, 'booting');
    const stop = new AbortController();
    if (this.#stop.signal.aborted) stop.abort(this.#stop.signal.reason);
    this.#underWay.set(id, stop);
    this.#breakOffStopped(local);
    try {
      const booted = await bootInstance({
        spec: { id, app, revision: revisionOf(app) },
        askedFor: local.askedFor,
        runtime: await this.#runtimeFor(app),
        probe,
        clock,
        signal: stop.signal,
      });
      if (!(await this.#succeed(local, claim, booted, clock.now() + app.bootTimeoutMs))) {
        logger.warn({ app: app.name, instance: id }, 'the claim of a boot was taken away while it ran');
        onBoot(app.runtime, purpose, 'aborted', {});
        return { kind: 'claim_gone' };
      }
      const ms = Math.round(clock.monotonic() - from);
      logger.info({ app: app.name, instance: id, address: booted.address, ms, phases: booted.phases }, 'ready');
      onBoot(app.runtime, purpose, 'ready', booted.phases);
      return { kind: 'ready' };
    } catch (error) {
      return this.#fail(local, claim, error, stop.signal.aborted);
    } finally {
      this.#underWay.delete(id);
      this.#options.owned.delete(claim);
    }
  }

  /** Aborts the boots under way, and all that follow, with this reason. */
  abort(reason: RequestError): void {
    this.#stop.abort(reason);
    for (const boot of this.#underWay.values()) boot.abort(reason);
  }

  /** An operator stopped the app: its boots under way here are broken off, and requests that wait for them get this error. */
  #breakOffStopped({ deployment }: LocalApp): void {
    if (this.#underWay.size === 0) return;
    for (const { id, state, end } of deployment.instances) {
      if (state !== 'booting' || !end) continue;
      this.#underWay.get(id)?.abort(new RequestError('boot_failed', 'The app was stopped while it booted.'));
    }
  }

  /** Waits only for a runtime that has to be opened first. */
  async #runtimeFor(app: App): Promise<Runtime> {
    const { runtimes, openRuntime } = this.#options;
    if (!runtimes.has(app.runtime)) {
      await openRuntime?.(app.runtime).catch((cause: unknown) => {
        const message = `the runtime '${app.runtime}' cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}`;
        throw new BootError('boot_failed', message, { nothingLeft: true, cause });
      });
    }
    return this.#runtimeOf(app);
  }

  #runtimeOf(app: App): Runtime {
    const runtime = this.#options.runtimes.get(app.runtime);
    if (runtime) return runtime;
    throw new BootError('boot_failed', `there is no runtime '${app.runtime}' in this version`, {
      nothingLeft: true,
    });
  }

  /** Writes that the container is ready; tries until the boot's time is up, whatever the store answers. False if the claim is gone. */
  async #succeed(local: LocalApp, claim: Claim, booted: BootedInstance, deadlineAt: number): Promise<boolean> {
    const { apps, uses, session, store, sight, pins, clock } = this.#options;
    const { id } = claim;
    const pin = pins ? pinOf(claim.app, sight.host) : undefined;
    for (;;) {
      try {
        await writeSuccess({ apps, session, store, runtime: this.#runtimeOf(claim.app), clock, pin }, claim, booted);
        break;
      } catch (error) {
        if (clock.now() > deadlineAt || this.#stop.signal.aborted) {
          // An attempt of unknown outcome may have made it ready, and this node its user.
          uses.disown(local.name, id);
          throw error;
        }
        await sleep(clock, rewriteMs);
      }
    }
    if (uses.takeUp(local, id)) return true;
    // The answer came so late that the instance drains by now: nothing else would release it.
    uses.disown(local.name, id);
    return false;
  }

  #fail(local: LocalApp, claim: Claim, error: unknown, aborted: boolean): BootOutcome {
    const { app, purpose } = claim;
    const failure =
      error instanceof BootError
        ? error
        : new BootError('boot_failed', error instanceof Error ? error.message : '', { cause: error });
    const result = aborted ? 'aborted' : failure.code === 'boot_timeout' ? 'timeout' : 'failed';
    this.#options.onBoot(app.runtime, purpose, result, {});
    const fallsBack = result !== 'aborted' && canFallBack(local.deployment, revisionOf(app));
    return {
      kind: 'failed',
      result,
      fallsBack,
      error:
        error instanceof RequestError || isDefect(failure.cause)
          ? asRequestError(failure.cause)
          : new RequestError(failure.code, undefined, { cause: failure }),
      cleanedUp: this.#cleanUp(local, claim, failure, { fallsBack, aborted }),
    };
  }

  async #cleanUp(
    local: LocalApp,
    { app, id, owner }: Claim,
    failure: BootError,
    { fallsBack, aborted }: { readonly fallsBack: boolean; readonly aborted: boolean },
  ): Promise<void> {
    const { apps, session, clock, logger, terminate } = this.#options;
    const written = aborted ? '' : await this.#lastOutput(app, id);
    if (!aborted) {
      // At this level the log has it already, line by line; the last one often says why.
      const output = logger.isLevelEnabled('info') ? lastLine(written) : written;
      const next = fallsBack ? '; the revision that was ready last is booted instead, and this one is tried again' : '';
      const stack = isDefect(failure.cause) ? failure.cause.stack : undefined;
      logger.error({ app: app.name, instance: id, cause: failure.message, output, stack }, `the boot failed${next}`);
    }
    const { code, message, nothingLeft } = failure;
    if (nothingLeft && !aborted) {
      await apps.update(local.name, (current) => bootRefused(current, id, { code, message }, clock.now()), {
        output: written,
      });
      return;
    }
    const end: DeploymentChange = (current) => {
      // It may have been written anew under a later session of this node.
      const held = findInstance(current, id)?.owner;
      const termination = {
        owner: session.incarnation,
        claimedBy: held !== undefined && session.isOwn(held) ? held : owner,
        reason: aborted ? ('stopped' as const) : ('boot_failed' as const),
        stopTimeoutMs: app.stopTimeoutMs,
      };
      return aborted
        ? startTerminate(current, id, termination, clock.now())
        : bootFailed(current, id, { code, message }, termination, clock.now());
    };
    await apps.update(local.name, end, { output: written });
    terminate(app.name, id);
  }

  async #lastOutput(app: App, id: string): Promise<string> {
    const { runtimes, logger } = this.#options;
    const output = await runtimes
      .get(app.runtime)
      ?.output(id, outputBytes)
      .catch((error: unknown) => {
        logger.debug({ err: error, instance: id }, 'the output of a failed boot cannot be read');
        return '';
      });
    return output ?? '';
  }
}

/** The claimed instance, and the app to boot: the last good revision if that stands in. */
function bootingIn({ deployment, app }: Updated, id: string): Pick<Claim, 'id' | 'app' | 'instance'> | undefined {
  const instance = findInstance(deployment, id);
  if (!instance || !app) return undefined;
  const isOther = instance.revision !== revisionOf(app);
  return { id, instance, app: isOther ? (standIn(deployment, app) ?? app) : app };
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

export function resultOf(outcome: BootOutcome): BootResult {
  if (outcome.kind === 'failed') return outcome.result;
  return outcome.kind === 'ready' ? 'ready' : 'aborted';
}

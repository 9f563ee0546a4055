import type { App } from '../model/app.js';
import type { Clock, Timer } from '../model/clock.js';
import type { BootFailure } from '../model/deployment.js';
import type { Address } from '../model/instance.js';
import type { InstanceSpec, Runtime } from '../runtime/runtime.js';
import { isDefect } from '../model/errors.js';
import { unlessAborted } from '../model/unless-aborted.js';
import type { Probe } from '../machine/probe.js';
import { awaitReady } from './readiness.js';

/** Why a boot ended without a ready instance. `message` is for the operator. */
export class BootError extends Error {
  override readonly name = 'BootError';
  readonly code: BootFailure['code'];
  /** The runtime refused the boot and, by its contract, left nothing to stop. */
  readonly nothingLeft: boolean;

  constructor(code: BootFailure['code'], message: string, options: { cause?: unknown; nothingLeft?: boolean } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.nothingLeft = options.nothingLeft ?? false;
  }
}

export interface InstanceBootOptions {
  readonly spec: InstanceSpec;
  /** The domain that a request asked for, for an app that has only wildcards. */
  readonly askedFor: string | undefined;
  readonly runtime: Runtime;
  readonly probe: Probe;
  readonly clock: Clock;
  /** Aborts the boot, which then throws its reason. */
  readonly signal: AbortSignal;
}

export interface BootedInstance {
  readonly address: Address;
  /** When the container ran. */
  readonly startedAt: number;
  /** Milliseconds per phase: pull, create, start, ready. */
  readonly phases: Record<string, number>;
}

/**
 * Boots one container and waits until it is ready. Throws a BootError as soon as it cannot boot, exits, or exceeds bootTimeout; the
 * caller may then read its output, and has to stop it.
 */
export async function bootInstance(options: InstanceBootOptions): Promise<BootedInstance> {
  const { spec, runtime, probe, clock } = options;
  const { app, id } = spec;
  options.signal.throwIfAborted();
  const phases: Record<string, number> = {};
  const stop = new AbortController();
  const onAbort = () => stop.abort(options.signal.reason);
  options.signal.addEventListener('abort', onAbort, { once: true });
  const timer = clock.after(app.bootTimeoutMs, () => stop.abort(timeoutError(app, phases)));
  const unwatch = runtime.watch((exit) => {
    if (exit.id === id) stop.abort(new BootError('boot_failed', `the app ended while it booted: ${exit.cause}`));
  });
  let address: Address | undefined;
  try {
    const { signal } = stop;
    const booting = runtime.boot(spec, { signal, onPhase: (phase, ms) => void (phases[phase] = ms) });
    // A runtime that does not heed the signal must not hold the boot; what it starts late is stopped by its id.
    address = await unlessAborted(booting.catch(refused), signal);
    const startedAt = clock.now();
    const from = clock.monotonic();
    await awaitReady({
      address,
      readiness: app.readiness,
      domain: readinessHost(app, options.askedFor),
      probe,
      isListening: () => isListening(runtime, id),
      clock,
      signal,
    });
    phases['ready'] = clock.monotonic() - from;
    return { address, startedAt, phases };
  } catch (error) {
    const reason: unknown = stop.signal.aborted ? stop.signal.reason : error;
    if (address && isTimeout(reason)) throw await withListeners(reason, options, address);
    if (reason instanceof BootError || stop.signal.aborted) throw reason;
    throw new BootError('boot_failed', error instanceof Error ? error.message : String(error), { cause: error });
  } finally {
    timer.cancel();
    unwatch();
    options.signal.removeEventListener('abort', onAbort);
  }
}

/** The domain of the readiness check: an app that checks its host answers none with an asterisk. */
function readinessHost({ domains, name }: App, askedFor: string | undefined): string {
  const exact = domains.find((domain) => !domain.startsWith('*.'));
  return exact ?? askedFor ?? domains[0]?.replace('*', 'www') ?? name;
}

function refused(error: unknown): never {
  throw new BootError('boot_failed', error instanceof Error ? error.message : String(error), {
    cause: error,
    nothingLeft: !isDefect(error),
  });
}

async function isListening(runtime: Runtime, id: string): Promise<boolean | undefined> {
  const inspection = await runtime.inspect(id);
  if (inspection.state === 'exited') {
    throw new BootError('boot_failed', `the app ended while it booted: ${inspection.cause}`);
  }
  if (inspection.state === 'gone') throw new BootError('boot_failed', 'the container vanished while it booted');
  return inspection.listening;
}

/** Upper bound for the look at where the app listens: requests have waited long enough. */
const lookMs = 2_000;

function isTimeout(reason: unknown): reason is BootError {
  return reason instanceof BootError && reason.code === 'boot_timeout';
}

/** Adds where the app listens: elsewhere is the most common reason for a timeout. */
async function withListeners(
  timeout: BootError,
  { spec, runtime, clock }: InstanceBootOptions,
  { host, port }: Address,
): Promise<BootError> {
  let limit: Timer | undefined;
  const tooLate = new Promise<undefined>((resolve) => (limit = clock.after(lookMs, () => resolve(undefined))));
  const look = runtime.listensOn?.(spec.id).catch(() => undefined);
  const listensOn = await Promise.race([look, tooLate]);
  limit?.cancel();
  if (!listensOn) return timeout;
  const shown = listensOn.slice(0, 5).join(', ');
  const found = listensOn.length === 0 ? 'it listens on no TCP port' : `it listens on ${shown}`;
  const message = `${timeout.message} (${host}:${port} from here); ${found}; let it listen on HOST and PORT of its environment`;
  return new BootError(timeout.code, message, { cause: timeout });
}

function timeoutError(app: App, phases: Record<string, number>): BootError {
  const where =
    phases['start'] === undefined
      ? 'the runtime had not started the container'
      : 'http' in app.readiness
        ? `the readiness check ${app.readiness.http} was not answered with 2xx or 3xx`
        : 'nothing accepted connections on its port';
  return new BootError('boot_timeout', `not ready within ${app.bootTimeoutMs} ms: ${where}`);
}

import { setTimeout as sleep } from 'node:timers/promises';
import { Hung } from './failure.js';
import type { Random } from './random.js';
import { newTrace, type Trace } from './trace.js';

/** What a load drives: the data side of a dispatcher, and the app whose turn it is. */
export interface Target {
  /** Read anew for each exchange: where there are several dispatchers, it may be another one each time. */
  readonly port: number;
  /** Name of an app; its domain is `NAME.localhost`. */
  readonly nextApp: () => string;
  readonly random: Random;
}

/** How one exchange ended. Cold: an instance was booted for it. `ms` until the first byte of the answer. */
export interface Outcome {
  readonly kind: string;
  readonly cold: boolean;
  readonly ms: number;
}

/** One kind of client. `once` carries one exchange through and throws where anything of it was not as it must be. */
export interface Load {
  readonly kind: string;
  readonly once: (target: Target, trace: Trace) => Promise<Outcome | undefined>;
}

export interface Drive {
  readonly load: Load;
  readonly target: Target;
  /** Clients of this kind at a time. */
  readonly clients: number;
  /** A client's pause between two exchanges, in milliseconds; each pause is drawn anew up to twice this. */
  readonly pauseMs: number;
  /** An exchange that takes longer than this has failed; without end unless told. */
  readonly limitMs?: number;
  readonly onOutcome: (outcome: Outcome) => void;
  readonly onFailure: (kind: string, error: unknown, trace: Trace) => void;
}

/** Lets clients of one kind work until the signal comes; resolves when the last exchange has ended. */
export async function drive(options: Drive, signal: AbortSignal): Promise<void> {
  await Promise.all(Array.from({ length: options.clients }, () => oneClient(options, signal)));
}

async function oneClient(options: Drive, signal: AbortSignal): Promise<void> {
  const { load, target, pauseMs, onOutcome, onFailure } = options;
  while (!signal.aborted) {
    await sleep(target.random() * 2 * pauseMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    const trace = newTrace(load.kind);
    try {
      const outcome = await withinLimit(load.once(target, trace), options.limitMs);
      if (outcome) onOutcome(outcome);
    } catch (error) {
      onFailure(load.kind, error, trace);
    }
  }
}

async function withinLimit<T>(exchange: Promise<T>, limitMs: number | undefined): Promise<T> {
  if (limitMs === undefined) return exchange;
  let timer: NodeJS.Timeout | undefined;
  const hung = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Hung(limitMs)), limitMs);
  });
  try {
    return await Promise.race([exchange, hung]);
  } finally {
    clearTimeout(timer);
    exchange.catch(() => {});
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from './random.js';

/** What a load drives: the data side of a dispatcher, and the app whose turn it is. */
export interface Target {
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
  readonly once: (target: Target) => Promise<Outcome | undefined>;
}

export interface Drive {
  readonly load: Load;
  readonly target: Target;
  /** Clients of this kind at a time. */
  readonly clients: number;
  /** A client's pause between two exchanges, in milliseconds; each pause is drawn anew up to twice this. */
  readonly pauseMs: number;
  readonly onOutcome: (outcome: Outcome) => void;
  readonly onFailure: (kind: string, error: unknown) => void;
}

/** Lets clients of one kind work until the signal comes; resolves when the last exchange has ended. */
export async function drive(options: Drive, signal: AbortSignal): Promise<void> {
  await Promise.all(Array.from({ length: options.clients }, () => oneClient(options, signal)));
}

async function oneClient({ load, target, pauseMs, onOutcome, onFailure }: Drive, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(target.random() * 2 * pauseMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    try {
      const outcome = await load.once(target);
      if (outcome) onOutcome(outcome);
    } catch (error) {
      onFailure(load.kind, error);
    }
  }
}

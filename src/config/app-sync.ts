import { setImmediate as turn } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../model/clock.js';
import { isStoreAway } from '../model/errors.js';
import type { Conflict } from '../cmdb/cmdb.js';
import type { AppApplier, AppFiles, ApplyOptions } from './apply-apps.js';

export interface AppSyncOptions {
  readonly applier: AppApplier;
  /** Identity of the store: another one than last time does not know what was applied before. */
  readonly identity: () => string | undefined;
  /** The store of this identity has taken the latest apps, except for those in conflict; undefined: they have changed, and none has yet. */
  readonly onApplied: (identity: string | undefined, conflicts: readonly Conflict[]) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

const retryMs = 1_000;
/** A store that stays away is named this often, counted in attempts. */
const logEvery = 10;

class StoreUnknown extends Error {}

/** Keeps the CMDB's apps as the files say: applies the latest set, again and again until the store has taken it. */
export class AppSync {
  readonly #options: AppSyncOptions;
  #wanted: ({ readonly files: AppFiles } & Omit<ApplyOptions, 'identity'>) | undefined;
  #running: Promise<void> | undefined;
  #timer: Timer | undefined;
  #failures = 0;
  #stopped = false;

  constructor(options: AppSyncOptions) {
    this.#options = options;
  }

  /** See AppApplier. */
  get withheld(): string | undefined {
    return this.#options.applier.withheld;
  }

  /** Whether the store has taken the latest files. */
  get isApplied(): boolean {
    return this.#wanted === undefined;
  }

  /** Applies these files from now on. Resolves after the first attempt, whatever came of it; later ones follow by themselves. */
  async apply(files: AppFiles, { force = false, again }: Omit<ApplyOptions, 'identity'> = {}): Promise<void> {
    const before = this.#wanted;
    this.#wanted = {
      files,
      force: force || before?.force === true,
      again: new Set([...(again ?? []), ...(before?.again ?? [])]),
    };
    this.#options.onApplied(undefined, []);
    this.#timer?.cancel();
    await this.#running;
    this.#running ??= this.#attempt().finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #attempt(): Promise<void> {
    const { applier, identity: identityOf, onApplied, clock, logger } = this.#options;
    const wanted = this.#wanted;
    if (!wanted || this.#stopped) return;
    try {
      const identity = identityOf();
      // What a store took before it is known which one it is may have gone with it, and nobody would notice.
      if (identity === undefined) throw new StoreUnknown('the CMDB has not told which store it is');
      const conflicts = await applier.apply(wanted.files, { ...wanted, identity });
      this.#failures = 0;
      await turn();
      if (this.#wanted !== wanted) return;
      this.#wanted = undefined;
      onApplied(identity, conflicts);
    } catch (error) {
      const isAway = error instanceof StoreUnknown || isStoreAway(error);
      // The watch of the store logs that it is away.
      if (isAway || this.#failures % logEvery === 0) {
        logger[isAway ? 'debug' : 'warn'](
          { err: error, apps: wanted.files.apps.length },
          'the apps could not be written to the CMDB yet; trying again',
        );
      }
      this.#failures += 1;
      this.#timer = clock.after(retryMs, () => void this.apply(wanted.files, wanted));
    }
  }
}

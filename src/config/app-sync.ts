import type { Logger } from 'pino';
import type { Clock, Timer } from '../model/clock.js';
import { isStoreAway } from '../model/errors.js';
import type { Conflict } from '../cmdb/cmdb.js';
import type { AppApplier, AppFiles, ApplyOptions } from './apply-apps.js';

export interface AppSyncOptions {
  readonly applier: AppApplier;
  /** Identity of the store: another one than last time does not know what was applied before. */
  readonly identity: () => string | undefined;
  /** The store of this identity has taken the latest files, except for apps in conflict; undefined: no store has taken them yet. */
  readonly onApplied: (identity: string | undefined, conflicts: readonly Conflict[]) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

const retryMs = 1_000;
/** Attempts from one log line to the next. */
const logEvery = 10;

class StoreUnknown extends Error {}

/** Applies the latest files to the CMDB, and tries again until the store has taken them. */
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

  /** Applies these files from now on. Resolves after the first attempt, successful or not; others follow in the background. */
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
      // If it were replaced before its identity is known, its loss of these apps would go unnoticed.
      if (identity === undefined) throw new StoreUnknown('the CMDB has not told which store it is');
      const conflicts = await applier.apply(wanted.files, { ...wanted, identity });
      this.#failures = 0;
      if (this.#wanted !== wanted) return;
      this.#wanted = undefined;
      onApplied(identity, conflicts);
    } catch (error) {
      const isAway = error instanceof StoreUnknown || isStoreAway(error);
      // That the store is away is logged by those that watch it.
      if (isAway || this.#failures % logEvery === 0) {
        logger[isAway ? 'debug' : 'warn'](
          { err: error, apps: wanted.files.apps.length },
          'the apps could not be written to the CMDB yet; trying again',
        );
      }
      this.#failures += 1;
      // What was asked for meanwhile has an attempt of its own.
      if (this.#wanted !== wanted) return;
      this.#timer = clock.after(retryMs, () => void this.apply(wanted.files, wanted));
    }
  }
}

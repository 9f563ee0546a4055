import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../../model/clock.js';
import { claimNameSync } from '../../machine/claim-name.js';
import { identify, isRunning, type ProcessIdentity } from '../../machine/proc-fs.js';

export interface DispatchersOptions {
  readonly directory: string;
  /** The installation, as several may share the directory. */
  readonly group: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called if this dispatcher is the eldest and the set of dispatchers has changed since the last call. */
  readonly onDuty: () => void;
}

const lookMs = 1_000;

/**
 * The dispatchers that share a state directory, each with a file. A new file has a higher number than all others, so that the eldest
 * stays the eldest while it lives. The eldest looks after the instances of dead dispatchers.
 */
export class Dispatchers {
  readonly #options: DispatchersOptions;
  readonly #group: string;
  #own = '';
  #seen = '';
  #timer: Timer | undefined;

  constructor(options: DispatchersOptions) {
    this.#options = options;
    this.#group = createHash('sha256').update(options.group).digest('hex').slice(0, 12);
  }

  async open(): Promise<void> {
    await mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
    this.#register();
    this.#lookLater();
  }

  get isEldest(): boolean {
    return this.#living()[0] === this.#own;
  }

  close(): void {
    this.#timer?.cancel();
    rmSync(this.#path(this.#own), { force: true });
  }

  /** Makes this dispatcher's file. */
  #register(): void {
    const draft = this.#path(`new-${randomBytes(6).toString('hex')}`);
    writeFileSync(draft, JSON.stringify(identify(process.pid)), { mode: 0o600 });
    try {
      for (let number = Math.max(this.#options.clock.now(), 1 + numberIn(this.#files().at(-1))); ; number += 1) {
        this.#own = `${this.#group}.${number}`;
        if (claimNameSync(draft, this.#path(this.#own))) return;
      }
    } finally {
      rmSync(draft, { force: true });
    }
  }

  #lookLater(): void {
    this.#timer = this.#options.clock.after(lookMs, () => {
      this.#lookLater();
      try {
        this.#look();
      } catch (error) {
        this.#options.logger.debug({ err: error }, 'could not look for dead dispatchers; looking again');
      }
    });
  }

  #look(): void {
    // If the directory was removed under a running daemon, there is nothing to look after.
    const living = existsSync(this.#options.directory) ? this.#living() : [];
    const seen = living.join(' ');
    if (living[0] !== this.#own || seen === this.#seen) return;
    this.#seen = seen;
    this.#options.onDuty();
  }

  /** Files of the live dispatchers, the eldest first. Removes those of dead ones. */
  #living(): string[] {
    return this.#files().filter((file) => {
      if (file === this.#own || isRunning(identityIn(this.#path(file)))) return true;
      rmSync(this.#path(file), { force: true });
      return false;
    });
  }

  #files(): string[] {
    const mine = readdirSync(this.#options.directory).filter((file) => file.startsWith(`${this.#group}.`));
    return mine.toSorted((a, b) => numberIn(a) - numberIn(b));
  }

  #path(file: string): string {
    return join(this.#options.directory, file);
  }
}

function numberIn(file = ''): number {
  return Number(file.split('.')[1] ?? 0);
}

/** The identity in a file; that of no process if the file is gone or torn. Throws if it cannot be read, as its dispatcher may live. */
function identityIn(path: string): ProcessIdentity {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity;
  } catch (error) {
    const isGone = error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (!isGone) throw error;
    return { pid: 0, startTime: '', bootId: '' };
  }
}

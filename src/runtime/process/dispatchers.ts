import { createHash, randomBytes } from 'node:crypto';
import { existsSync, linkSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Timer } from '../../model/clock.js';
import { identify, isRunning, type ProcessIdentity } from '../../machine/proc-fs.js';

export interface DispatchersOptions {
  readonly directory: string;
  /** Whose they are: those of several may be in the directory. */
  readonly group: string;
  readonly clock: Clock;
  /** This is the eldest, and some dispatcher has come or gone since it was called last. */
  readonly onDuty: () => void;
}

const lookMs = 1_000;

/**
 * The dispatchers that share a state directory, a file each. Its number is higher than those of all that live when it
 * comes, so that the eldest stays the eldest while it lives. It looks after the instances that nobody else looks after.
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

  /** A hard link appears whole or not at all, and not where there is one. */
  #register(): void {
    const draft = this.#path(`new-${randomBytes(6).toString('hex')}`);
    writeFileSync(draft, JSON.stringify(identify(process.pid)), { mode: 0o600 });
    try {
      for (let number = Math.max(this.#options.clock.now(), 1 + numberIn(this.#files().at(-1))); ; number += 1) {
        this.#own = `${this.#group}.${number}`;
        if (linked(draft, this.#path(this.#own))) return;
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
      } catch {
        // The directory cannot be read at the moment, such as when no descriptor is left: the next look may.
      }
    });
  }

  #look(): void {
    // Were the directory removed under a running daemon, there would be nothing to look after either.
    const living = existsSync(this.#options.directory) ? this.#living() : [];
    const seen = living.join(' ');
    if (living[0] !== this.#own || seen === this.#seen) return;
    this.#seen = seen;
    this.#options.onDuty();
  }

  /** Files of those that live, the eldest first; those of dead ones are removed. */
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

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function numberIn(file = ''): number {
  return Number(file.split('.')[1] ?? 0);
}

/** Of no process if the file is gone or not whole. Throws if it cannot be read: it may be that of a living one. */
function identityIn(path: string): ProcessIdentity {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity;
  } catch (error) {
    const isGone = error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (!isGone) throw error;
    return { pid: 0, startTime: '', bootId: '' };
  }
}

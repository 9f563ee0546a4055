import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { chown, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { removeTree } from '../../machine/remove-tree.js';
import { type Clock, sleep } from '../../model/clock.js';
import type { Account } from './account.js';

export interface ScratchOptions {
  /** Where the directories are made; several installations may share it. */
  readonly directory: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** What is large is removed in the background, a quarter of the time. */
const restPerWork = 3;
/** Removing it longer than that means that somebody goes on filling it. */
const limitMs = 3_600_000;

/**
 * A directory for temporary files, pid files and sockets of each instance, which its user alone can enter, and which goes with the instance.
 * Its name is short, as paths of sockets have to be, and tells whose it is.
 */
export class Scratch {
  readonly #options: ScratchOptions;
  readonly #removals = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  #prefix = '';
  #saidObstacle = false;

  constructor(options: ScratchOptions) {
    this.#options = options;
  }

  /** `installation` tells its directories from those of others. Removes in the background what is left of instances that `known` does not list. */
  async open(installation: string, known: () => Promise<readonly string[]>): Promise<void> {
    this.#prefix = createHash('sha256').update(installation).digest('hex').slice(0, 8);
    const found = await this.#found();
    if (found.length === 0) return;
    const hashes = new Set((await known()).map(hashOf));
    const left = found.filter(({ hash }) => !hashes.has(hash));
    this.#keep(this.#removeAll(left));
  }

  /** Makes the directory of an instance that has its record; undefined if its user could not enter it. Throws an Error that says what to do. */
  async make(id: string, { uid, gid }: Pick<Account, 'uid' | 'gid'>): Promise<string | undefined> {
    const { directory } = this.#options;
    const isOwn = uid === process.geteuid?.();
    const path = join(directory, this.#nameOf(id, uid));
    try {
      // Without write or read for others: each finds its own.
      await mkdir(directory, { recursive: true, mode: 0o711 });
      const obstacle = isOwn ? undefined : scratchObstacle(directory);
      if (obstacle !== undefined) return this.#without(obstacle);
      await mkdir(path, { mode: 0o700 });
      if (!isOwn) await chown(path, uid, gid);
      return path;
    } catch (error) {
      const { message } = error as Error;
      throw new Error(
        `cannot make the scratch directory of instance ${id}: ${message}; see runtimes.process.scratchDir`,
        {
          cause: error,
        },
      );
    }
  }

  /** What an ordinary app left is gone when this resolves; of very much the rest goes later. */
  async remove(id: string, uid: number | undefined): Promise<void> {
    if (uid === undefined || this.#prefix === '') return;
    await new Promise<void>((resolve) => {
      this.#keep(this.#remove({ name: this.#nameOf(id, uid), uid, instance: id }, resolve).finally(resolve));
    });
  }

  /** Lets go: what is left by then goes at the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#removals);
  }

  async #removeAll(left: readonly Found[]): Promise<void> {
    for (const { name, uid } of left) await this.#remove({ name, uid });
  }

  async #remove({ name, uid, instance }: Ended, onPause: () => void = () => {}): Promise<void> {
    const { directory, clock, logger } = this.#options;
    const path = join(directory, name);
    const startedAt = clock.monotonic();
    let workedFrom = startedAt;
    const pause = async () => {
      onPause();
      const now = clock.monotonic();
      if (this.#closing.signal.aborted || now - startedAt > limitMs) throw new Error('it takes too long');
      await sleep(this.#options.clock, (now - workedFrom) * restPerWork, this.#closing.signal);
      workedFrom = clock.monotonic();
    };
    let cause = 'what is left belongs to other users, or is in use';
    const isGone = await removeTree(path, uid, pause).catch((error: Error) => {
      cause = error.message;
      return false;
    });
    if (isGone || this.#closing.signal.aborted) return;
    logger.warn(
      { instance, path, cause },
      'the scratch directory of an instance that has ended cannot be removed whole; remove it by hand',
    );
  }

  #keep(removal: Promise<unknown>): void {
    this.#removals.add(removal);
    void removal.finally(() => this.#removals.delete(removal));
  }

  #without(obstacle: string): undefined {
    if (!this.#saidObstacle) this.#options.logger.warn(obstacle);
    this.#saidObstacle = true;
  }

  /** Directories of this installation. */
  async #found(): Promise<Found[]> {
    const names = await readdir(this.#options.directory).catch(() => []);
    return names.flatMap((name) => {
      const [prefix, uid = '', hash = '', ...more] = name.split('-');
      const isOurs = prefix === this.#prefix && /^[0-9a-z]+$/.test(uid) && hash !== '' && more.length === 0;
      return isOurs ? [{ name, uid: Number.parseInt(uid, 36), hash }] : [];
    });
  }

  #nameOf(id: string, uid: number): string {
    return `${this.#prefix}-${uid.toString(36)}-${hashOf(id)}`;
  }
}

interface Ended {
  readonly name: string;
  readonly uid: number;
  /** Undefined if a start found it, which knows no more than its name. */
  readonly instance?: string;
}

interface Found {
  readonly name: string;
  readonly uid: number;
  /** Of the instance's id. */
  readonly hash: string;
}

function hashOf(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 12);
}

/** Why other users could not reach their own directories in this one, and what to do; undefined if they can, or if it is not there yet. */
export function scratchObstacle(directory: string): string | undefined {
  for (let at = directory; ; at = dirname(at)) {
    const stats = statSync(at, { throwIfNoEntry: false });
    if (stats !== undefined && (stats.mode & 0o001) === 0) {
      return (
        `apps that run as users of their own get no scratch directory (TMPDIR): they cannot enter ${at}; run: chmod o+x ${at}, or set ` +
        'runtimes.process.scratchDir to a directory that they can reach'
      );
    }
    if (at === dirname(at)) return undefined;
  }
}

import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { chown, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { removeTree } from '../../machine/remove-tree.js';
import { type Clock, sleep } from '../../model/clock.js';
import type { Account } from '../kept/account.js';

export interface ScratchOptions {
  /** Parent of the scratch directories; several installations may share it. */
  readonly directory: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Rest per time of work in the background: a removal works a quarter of the time. */
const restPerWork = 3;
/** A removal that takes longer is given up: something goes on filling the directory. */
const limitMs = 3_600_000;

/**
 * Gives each instance a directory for temporary files, pid files and sockets, which only its user can enter and which is removed with
 * it. Its name contains installation, user and instance, and is short, as paths of sockets must be.
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

  /** `installation` marks our directories. Removes, in the background, those of instances that `known` does not list. */
  async open(installation: string, known: () => Promise<readonly string[]>): Promise<void> {
    this.#prefix = createHash('sha256').update(installation).digest('hex').slice(0, 8);
    const found = await this.#found();
    if (found.length === 0) return;
    const hashes = new Set((await known()).map(hashOf));
    const left = found.filter(({ hash }) => !hashes.has(hash));
    this.#keep(this.#removeAll(left));
  }

  /** Makes the directory of an instance with a record; undefined if its user could not enter it. Throws an Error that says what to do. */
  async make(id: string, { uid, gid }: Pick<Account, 'uid' | 'gid'>): Promise<string | undefined> {
    const { directory } = this.#options;
    const isOwn = uid === process.geteuid?.();
    const path = join(directory, this.#nameOf(id, uid));
    try {
      // Other users may pass through, but neither list nor write it.
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

  /** Removes the directory of an instance; resolves when it is gone, or earlier if it is large and the rest is removed later. */
  async remove(id: string, uid: number | undefined): Promise<void> {
    if (uid === undefined || this.#prefix === '') return;
    await new Promise<void>((resolve) => {
      this.#keep(this.#remove({ name: this.#nameOf(id, uid), uid, instance: id }, resolve).finally(resolve));
    });
  }

  /** Ends removals; the next start removes the rest. */
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
      'the scratch directory of an instance that has ended cannot be removed completely; remove it by hand',
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
  /** Undefined if it was found at a start, when only its name is known. */
  readonly instance?: string;
}

interface Found {
  readonly name: string;
  readonly uid: number;
  /** Hash of the instance's id. */
  readonly hash: string;
}

function hashOf(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 12);
}

/** Why other users cannot reach their directories inside this one, and what to do; undefined if they can, or if it does not exist. */
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

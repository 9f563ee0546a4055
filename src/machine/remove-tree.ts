import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, type FileHandle, open, opendir, rename, rmdir, unlink } from 'node:fs/promises';

/** Entries removed between two pauses. */
const entriesPerTurn = 200;
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

/**
 * Removes the directory at `path`, as far as the user `uid` could: follows no link, and touches only entries of that user's
 * directories on the same file system, even if processes of the user change them meanwhile. Calls `pause` after every 200 entries and
 * rejects if that does. Resolves to whether nothing is left.
 */
export async function removeTree(path: string, uid: number, pause: () => Promise<void>): Promise<boolean> {
  // Most directories are empty.
  if (await isDone(rmdir(path))) return true;
  const top = await openDirectory(path);
  // A link in its place is removed, but not its target.
  if (top === undefined) return isDone(unlink(path));
  try {
    const { uid: owner, dev } = await top.stat();
    if (owner !== uid) return false;
    const tree = new Tree(top, uid, dev, pause);
    while (await tree.pass());
  } finally {
    await top.close();
  }
  return isDone(rmdir(path));
}

/**
 * A tree that is removed from its top: directories inside are moved to the top, so that the depth does not matter. Entries are named
 * by the descriptor of their directory, which nobody can replace.
 */
class Tree {
  readonly #top: FileHandle;
  readonly #uid: number;
  readonly #device: number;
  readonly #pause: () => Promise<void>;
  #entries = 0;

  constructor(top: FileHandle, uid: number, device: number, pause: () => Promise<void>) {
    this.#top = top;
    this.#uid = uid;
    this.#device = device;
    this.#pause = pause;
  }

  /** Goes through the top once; false if nothing in it could be removed. */
  async pass(): Promise<boolean> {
    let changed = false;
    for await (const entry of entriesOf(this.#top)) {
      if ((await isDone(unlink(entry))) || (await this.#shrink(entry))) changed = true;
      await this.#count();
    }
    return changed;
  }

  /** Removes a directory of the top, or a part of it; false if nothing could be removed. */
  async #shrink(path: Buffer): Promise<boolean> {
    if (await isDone(rmdir(path))) return true;
    const directory = await openDirectory(path);
    if (directory === undefined) return false;
    let changed = false;
    try {
      const { uid, dev } = await directory.stat();
      if (uid !== this.#uid || dev !== this.#device) return false;
      for await (const entry of entriesOf(directory)) {
        if ((await isDone(unlink(entry))) || (await this.#lift(entry))) changed = true;
        await this.#count();
      }
    } finally {
      await directory.close();
    }
    return (await isDone(rmdir(path))) || changed;
  }

  async #lift(path: Buffer): Promise<boolean> {
    const target = entryOf(this.#top, Buffer.from(`.lifted-${randomBytes(9).toString('hex')}`));
    if (await isDone(rename(path, target))) return true;
    // Only root can move a directory that its owner may not write to.
    if (isRoot()) return false;
    await (await openDirectory(path))?.close();
    return isDone(rename(path, target));
  }

  async #count(): Promise<void> {
    this.#entries += 1;
    if (this.#entries % entriesPerTurn === 0) await this.#pause();
  }
}

/** Opens a directory without following a link, and makes it accessible to its owner; undefined if that fails. */
async function openDirectory(path: string | Buffer): Promise<FileHandle | undefined> {
  const attempt = () => open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const found = await attempt().catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EACCES') throw error;
      await chmod(path, 0o700);
      return attempt();
    });
    if (!isRoot()) await found.chmod(0o700);
    return found;
  } catch {
    return undefined;
  }
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** Paths of a directory's entries as bytes, as names need not be text. */
async function* entriesOf(directory: FileHandle): AsyncGenerator<Buffer> {
  // Node gives names as bytes here, which its types do not know.
  const options = { encoding: 'buffer' as BufferEncoding, bufferSize: 256 };
  const entries = await opendir(`/proc/self/fd/${directory.fd}`, options);
  for await (const { name } of entries) yield entryOf(directory, name as unknown as Buffer);
}

function entryOf(directory: FileHandle, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory.fd}/`), name]);
}

/** True even if nothing was there; false if the system refuses: it is a directory, is not empty, or may not be removed. */
async function isDone(removal: Promise<void>): Promise<boolean> {
  return removal.then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
  );
}

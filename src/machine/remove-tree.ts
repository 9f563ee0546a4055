import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, type FileHandle, open, opendir, rename, rmdir, unlink } from 'node:fs/promises';

/** So much is removed between two pauses. */
const entriesPerTurn = 200;
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

/**
 * Removes the directory at `path` with all that the user `uid` could remove of it, and nothing else, though processes of that user change it
 * meanwhile: no link is followed, and only what directories of this user on the same file system hold is touched. Calls `pause` after
 * every 200 entries; what that throws ends it. Resolves to whether nothing is left.
 */
export async function removeTree(path: string, uid: number, pause: () => Promise<void>): Promise<boolean> {
  // Most are empty.
  if (await isDone(rmdir(path))) return true;
  const top = await openDirectory(path);
  // A link that was put in its place goes, and not what it leads to.
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
 * A tree that is taken down from its top: whatever a directory in it holds of directories becomes an entry of the top, so
 * that its depth does not matter. An entry is named by the descriptor of its directory, which nobody can exchange.
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

  /** Goes over the top once; false if nothing of it could be removed. */
  async pass(): Promise<boolean> {
    let changed = false;
    for await (const entry of entriesOf(this.#top)) {
      if ((await isDone(unlink(entry))) || (await this.#shrink(entry))) changed = true;
      await this.#count();
    }
    return changed;
  }

  /** Removes a directory of the top, or something of it; false if nothing of it could be. */
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
    // Without root a directory that its owner may not write cannot be moved.
    if (isRoot()) return false;
    await (await openDirectory(path))?.close();
    return isDone(rename(path, target));
  }

  async #count(): Promise<void> {
    this.#entries += 1;
    if (this.#entries % entriesPerTurn === 0) await this.#pause();
  }
}

/** A directory, and nothing that a link leads to, open to its owner; undefined if it is none, is gone or is not ours. */
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

/** Paths of what is in a directory, byte by byte: names need not be text. */
async function* entriesOf(directory: FileHandle): AsyncGenerator<Buffer> {
  // Node gives names as bytes here, of which its types know nothing.
  const options = { encoding: 'buffer' as BufferEncoding, bufferSize: 256 };
  const entries = await opendir(`/proc/self/fd/${directory.fd}`, options);
  for await (const { name } of entries) yield entryOf(directory, name as unknown as Buffer);
}

function entryOf(directory: FileHandle, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory.fd}/`), name]);
}

/** Also if there was nothing to do. False if the system refuses: it is a directory, not empty, or not ours to remove. */
async function isDone(removal: Promise<void>): Promise<boolean> {
  return removal.then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
  );
}

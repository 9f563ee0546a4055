import { chmod, chown, link, lstat, mkdir, mkdtemp, rm, stat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { groupId } from '../machine/group-id.js';

/** Who may open a socket, as `admin.socket` says. */
export interface SocketAccess {
  readonly mode: '0600' | '0660';
  /** Name or number; absent: the group of this process. */
  readonly group?: string;
}

/** Of a socket, whose path the kernel would cut without a word. Source: unix(7). */
const longestPath = 107;

/** A socket that was placed: at its path may stand another's by now. */
export interface SocketFile {
  readonly path: string;
  readonly inode: number;
}

/**
 * Listens at a path: at no time may others open the socket than `access` says. It is made in a directory of its own, gets its mode and
 * group there, and then its path, which it takes from nobody. Replaces a socket that a dead process left. Throws an Error that says what
 * to do if anything else is there, or if others could replace the socket in its directory.
 */
export async function placeSocket(
  path: string,
  { mode, group }: SocketAccess,
  listen: (path: string) => Promise<unknown>,
): Promise<SocketFile> {
  const gid = group === undefined ? undefined : groupId(group);
  await makeRoomForSocket(path);
  // Within the directory, in which nobody else may write. No longer than `admin.sock`, as the path of a socket is bounded.
  const shelter = await mkdtemp(`${dirname(path)}/.`);
  try {
    const made = join(shelter, 's');
    if (Math.max(Buffer.byteLength(made), Buffer.byteLength(path)) > longestPath)
      throw new Error(`the path of a socket has at most ${longestPath} bytes`);
    await listen(made);
    if (gid !== undefined) await chown(made, -1, gid);
    await chmod(made, Number.parseInt(mode, 8));
    const { ino: inode } = await lstat(made);
    await link(made, path);
    return { path, inode };
  } finally {
    await rm(shelter, { recursive: true, force: true });
  }
}

/** Removes the socket that was placed, not one that took its place. */
export async function removeSocket({ path, inode }: SocketFile): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.ino === inode) await rm(path, { force: true });
}

async function makeRoomForSocket(path: string): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const { mode, uid } = await stat(directory);
  // In a sticky directory like /tmp only its owner can remove an entry.
  const isSticky = (mode & 0o1000) !== 0;
  if ((mode & 0o022) !== 0 && !isSticky)
    throw new Error(`others may write in ${directory}; run: chmod go-w ${directory}`);
  if (uid !== 0 && uid !== process.geteuid?.())
    throw new Error(`${directory} belongs to user ${uid}, who could replace the socket`);
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!found) return;
  if (!found.isSocket()) throw new Error(`${path} exists and is not a socket; move it away`);
  if (await answers(path)) throw new Error(`another process listens on ${path}; stop it`);
  await unlink(path);
}

/** Whether something may listen: only a refused connection proves that nothing does. */
async function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED'));
  });
}

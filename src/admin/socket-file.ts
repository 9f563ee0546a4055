import { lstat, mkdir, stat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';

/**
 * Makes room for a socket at this path: removes a socket that a dead process left. Throws an Error that says what to do if anything
 * else is there, or if others could replace the socket in its directory.
 */
export async function makeRoomForSocket(path: string): Promise<void> {
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

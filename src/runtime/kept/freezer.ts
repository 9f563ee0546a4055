import { writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { textOf } from '../../machine/text-of.js';
import { type Clock, sleep } from '../../model/clock.js';

/** How a kernel freezes control groups: the freezer of cgroup v1, or what each group of v2 has. */
interface Freezer {
  readonly path: string;
  readonly freeze: string;
  readonly thaw: string;
  /** Whether what is read says that all processes stand still. */
  readonly isFrozen: () => boolean;
}

const limitMs = 4_000;
const firstPauseMs = 1;
const longestPauseMs = 50;

/**
 * Freezes the processes of a group, given by its directories; resolves when all stand still. Throws an Error, and lets them run on, if
 * they do not within 4 s, or somebody thaws them meanwhile.
 */
export async function freeze(directories: readonly string[], clock: Clock): Promise<void> {
  const freezer = freezerOf(directories);
  if (!freezer) throw new Error('it has no control group that the kernel can freeze');
  const limit = clock.monotonic() + limitMs;
  writeFileSync(freezer.path, freezer.freeze);
  for (let pauseMs = firstPauseMs; !freezer.isFrozen(); pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
    if (clock.monotonic() > limit) {
      thaw(directories);
      throw new Error(`its processes do not stand still within ${limitMs} ms`);
    }
    await sleep(clock, pauseMs);
    if (textOf(freezer.path).trim() === freezer.thaw) throw new Error('it was thawed while it was being frozen');
  }
}

/** Lets the processes of a group run, frozen or not. False if there is no such group, or none that can be frozen. */
export function thaw(directories: readonly string[]): boolean {
  const freezer = freezerOf(directories);
  if (!freezer) return false;
  try {
    writeFileSync(freezer.path, freezer.thaw);
    return true;
  } catch {
    // It has just been removed.
    return false;
  }
}

/** Whether the processes of a group stand still, or are about to. */
export function isFrozen(directories: readonly string[]): boolean {
  const freezer = freezerOf(directories);
  return freezer !== undefined && textOf(freezer.path).trim() !== freezer.thaw;
}

/** Gives memory of a frozen group back that the kernel can read again or swap out. Never rejects; may take some time. */
export async function reclaim(directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    // What runs again needs its memory.
    if (!isFrozen(directories)) return;
    // v2 is asked for a size, more of which than there is; v1 takes what it gets.
    const size = textOf(join(directory, 'memory.current')).trim();
    const [file, text] = size === '' ? ['memory.force_empty', '0'] : ['memory.reclaim', size];
    await writeFile(join(directory, file), text, { flag: 'r+' }).catch(() => {});
  }
}

function freezerOf(directories: readonly string[]): Freezer | undefined {
  for (const directory of directories) {
    const path = join(directory, 'freezer.state');
    if (textOf(path) === '') continue;
    return { path, freeze: 'FROZEN', thaw: 'THAWED', isFrozen: () => textOf(path).trim() === 'FROZEN' };
  }
  for (const directory of directories) {
    const path = join(directory, 'cgroup.freeze');
    if (textOf(path) === '') continue;
    const events = join(directory, 'cgroup.events');
    return { path, freeze: '1', thaw: '0', isFrozen: () => /^frozen 1$/m.test(textOf(events)) };
  }
  return undefined;
}

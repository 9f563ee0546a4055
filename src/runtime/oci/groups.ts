import { existsSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { textOf } from '../../machine/text-of.js';
import { type Clock, sleep } from '../../model/clock.js';
import { groupsIn, hierarchiesOf, removeGroup } from '../kept/control-groups.js';

const pauseMs = 10;
const limitMs = 2_000;

/** Where the runtime puts the control groups of containers. */
export class Groups {
  /** Path of the directory of all groups in each hierarchy. */
  readonly name: string;
  readonly #roots: readonly string[];

  /** `id` is unique to the state directory. */
  constructor(id: string) {
    this.name = `/fastcontainer-oci-${id.slice(0, 12)}`;
    this.#roots = rootsOf(textOf('/proc/self/mountinfo'), textOf('/proc/self/cgroup'));
  }

  /** Whether swap can be limited. */
  get countsSwap(): boolean {
    const v1 = this.#roots.filter((root) => existsSync(join(root, 'memory.limit_in_bytes')));
    return v1.every((root) => existsSync(join(root, 'memory.memsw.limit_in_bytes')));
  }

  /** Directories of an instance's group; the first one lists its processes. */
  pathsOf(id: string): string[] {
    return this.#directories.map((directory) => join(directory, id));
  }

  /** Removes a group without processes. The kernel may count one for a moment longer. */
  async remove(paths: readonly string[], clock: Clock): Promise<void> {
    const limit = clock.monotonic() + limitMs;
    for (;;) {
      removeGroup(paths);
      if (!paths.some((path) => existsSync(path)) || clock.monotonic() > limit) return;
      await sleep(clock, pauseMs);
    }
  }

  /** Instances that have a group. */
  ids(): string[] {
    return this.#directories.flatMap((directory) => groupsIn(directory));
  }

  /** Removes the directories of all groups if they are empty. */
  close(): void {
    for (const directory of this.#directories) {
      try {
        rmdirSync(directory);
      } catch {
        // It is gone, or in use.
      }
    }
  }

  get #directories(): string[] {
    return this.#roots.map((root) => join(root, this.name));
  }
}

/** Mount points of the hierarchies; one with limits comes first. */
function rootsOf(mountinfo: string, cgroup: string): string[] {
  const all = hierarchiesOf(mountinfo, cgroup);
  const rank = ({ controllers }: (typeof all)[number]) => (controllers.includes('pids') ? 0 : 1);
  return all.toSorted((a, b) => rank(a) - rank(b)).map(({ mountPoint }) => mountPoint);
}

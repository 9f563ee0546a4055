import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { identify, stillRuns } from '../../machine/proc-fs.js';
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
  /** Group without processes; no instance has a name like this. */
  readonly #holder: string;

  /** `id` is unique to the state directory. */
  constructor(id: string) {
    this.name = `/fastcontainer-oci-${id.slice(0, 12)}`;
    const { pid, startTime } = identify(process.pid);
    this.#holder = `dispatcher.${pid}.${startTime}`;
    this.#roots = rootsOf(textOf('/proc/self/mountinfo'), textOf('/proc/self/cgroup'));
  }

  /**
   * Keeps the directories of all groups until `close`: a dispatcher that closes removes them if they are empty, perhaps in the moment in
   * which the runtime makes the first group for another one.
   */
  hold(): void {
    for (const directory of this.#directories) {
      for (const name of groupsIn(directory)) if (isAbandoned(name)) removeGroup([join(directory, name)]);
      try {
        mkdirSync(join(directory, this.#holder), { recursive: true });
      } catch {
        // A hierarchy that is read-only, which the runtime does not use either.
      }
    }
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

  /** Removes the directories of all groups if they are empty and nobody else holds them. */
  close(): void {
    for (const directory of this.#directories.flatMap((path) => [join(path, this.#holder), path])) {
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

/** Whether a group keeps the directory for a dispatcher that has ended. */
function isAbandoned(name: string): boolean {
  const [, pid = '', startTime = ''] = /^dispatcher\.(\d+)\.(\d+)$/.exec(name) ?? [];
  return pid !== '' && !stillRuns(Number(pid), startTime);
}

/** Mount points of the hierarchies; one with limits comes first. */
export function rootsOf(mountinfo: string, cgroup: string): string[] {
  const all = hierarchiesOf(mountinfo, cgroup);
  const rank = ({ controllers }: (typeof all)[number]) => (controllers.includes('pids') ? 0 : 1);
  return all.toSorted((a, b) => rank(a) - rank(b)).map(({ mountPoint }) => mountPoint);
}

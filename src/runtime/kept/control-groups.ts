import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { signalTo } from '../../machine/signal-to.js';
import { textOf } from '../../machine/text-of.js';
import type { Limits } from '../../model/app.js';

/** A mounted hierarchy of control groups, and the group of this process in it. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** Those that a v1 hierarchy is mounted with; of v2, its files tell. */
  readonly controllers: readonly string[];
  readonly mountPoint: string;
  readonly own: string;
}

/** Where groups of instances are made. */
interface Place {
  readonly version: 1 | 2;
  /** Directory of all groups of this state directory. */
  readonly directory: string;
  /** What of an instance is limited here. */
  readonly controllers: readonly Controller[];
}

const controllers = ['memory', 'pids', 'cpu'] as const;
type Controller = (typeof controllers)[number];

/** The processes of a container move here: in v2 a group with processes has no groups with limits. */
const daemonGroup = 'fastcontainer-daemon';
const periodUs = 100_000;

/**
 * The control groups of instances: one each, in every hierarchy that is needed for its limits and to know its processes. Their files are
 * the kernel's own, so that reading and writing them takes microseconds.
 */
export class ControlGroups {
  readonly #places: readonly Place[];
  /** Lines of /proc/self/mountinfo of control groups. */
  readonly #mounts: string;
  /** Could not be removed yet. */
  #left: readonly string[] = [];

  private constructor(places: readonly Place[], mounts: string) {
    this.#places = places;
    this.#mounts = mounts;
  }

  /**
   * Finds out what this process may use; nothing of that if it may not. `name` is unique among those that run on this host. Only with
   * `mayMove` the processes of the container that the daemon is in leave its root, which has to be empty for limits of v2.
   */
  static async open(name: string, mayMove: boolean): Promise<ControlGroups> {
    const directory = `fastcontainer-${createHash('sha256').update(name).digest('hex').slice(0, 12)}`;
    const lines = textOf('/proc/self/mountinfo').split('\n');
    const mounts = lines.filter((line) => / - cgroup2? /.test(line)).join('\n');
    return new ControlGroups(await placesIn(ownHierarchies(mounts), directory, mayMove), mounts);
  }

  /** Whether an instance's processes are known by a group. */
  get areAvailable(): boolean {
    return this.#places.length > 0;
  }

  /** Limits that cannot be enforced here. */
  get missing(): Controller[] {
    return controllers.filter((controller) => !this.#places.some((place) => place.controllers.includes(controller)));
  }

  /** Where the group of an instance is, in each hierarchy; the first tells its processes. Creates nothing. */
  pathsOf(id: string): string[] {
    return this.#places.map(({ directory }) => join(directory, id));
  }

  /**
   * Lets the kernel make ready to move a process to a group. After a while without one, the first move waits until all processors have
   * taken notice, some 15 ms; to move this process to where it is gets that out of the way of the next. Never rejects.
   */
  async makeReady(): Promise<void> {
    if (!this.areAvailable) return;
    // Looked up anew: somebody may have moved it.
    const [hierarchy] = ownHierarchies(this.#mounts);
    if (hierarchy) await writeFile(join(hierarchy.own, 'cgroup.procs'), '0').catch(() => {});
  }

  /** Makes the group of an instance. Rejects with an Error that names the limit that the kernel refuses. */
  async create(id: string, limits: Limits): Promise<void> {
    // Making a group takes the kernel a millisecond and more, unlike its files.
    const made = this.#places.map((place) => makeGroup(place, join(place.directory, id)));
    for (const result of await Promise.allSettled(made)) if (result.status === 'rejected') throw result.reason;
    for (const { directory, controllers: limited, version } of this.#places) {
      for (const controller of limited) {
        for (const [file, value] of settings(controller, version, limits)) set(join(directory, id), file, value);
      }
    }
  }

  /** Ends and removes what is left of instances that nobody knows, and the directories of all groups if they are empty. */
  async removeLeftovers(isKnown: (id: string) => Promise<boolean>): Promise<void> {
    const ids = new Set(this.#places.flatMap(({ directory }) => groupsIn(directory)));
    for (const id of ids) {
      if (await isKnown(id)) continue;
      const paths = this.pathsOf(id);
      killGroup(paths);
      removeGroup(paths);
    }
    this.close();
  }

  /** Removes groups whose processes have ended. The kernel may count one for a moment longer: such a group goes with the next ones. */
  remove(paths: readonly string[]): void {
    const all = new Set([...this.#left, ...paths]);
    removeGroup([...all]);
    this.#left = [...all].filter((path) => existsSync(path));
  }

  close(): void {
    this.remove([]);
    for (const { directory } of this.#places) remove(directory);
  }
}

/** Processes of a group and of the groups within; none if there is no such group. Throws if the system does not tell. */
export function pidsOf(path: string): number[] {
  const own = procsOf(path).split('\n').filter(Boolean).map(Number);
  return [...own, ...groupsIn(path).flatMap((name) => pidsOf(join(path, name)))].filter((pid) => pid > 1);
}

function procsOf(path: string): string {
  try {
    return readFileSync(join(path, 'cgroup.procs'), 'utf8');
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENOTDIR') return '';
    throw error;
  }
}

/**
 * Sends SIGKILL to all processes of a group: at once where the kernel can, else one by one while none of them may fork; call it until
 * none is left.
 */
export function killGroup(paths: readonly string[]): void {
  if (paths.some((path) => attempt(join(path, 'cgroup.kill'), '1'))) return;
  for (const path of paths) attempt(join(path, 'pids.max'), '0');
  for (const pid of paths.slice(0, 1).flatMap(pidsOf)) signalTo(pid, 'SIGKILL');
}

/** Removes a group without processes. Harmless twice. */
export function removeGroup(paths: readonly string[]): void {
  for (const path of paths) {
    for (const name of groupsIn(path)) removeGroup([join(path, name)]);
    remove(path);
  }
}

function ownHierarchies(mounts: string): Hierarchy[] {
  return hierarchiesOf(mounts, textOf('/proc/self/cgroup'));
}

/** The hierarchies that are mounted and hold this process, by /proc/self/mountinfo and /proc/self/cgroup. */
export function hierarchiesOf(mountinfo: string, cgroup: string): Hierarchy[] {
  const groups = cgroup
    .split('\n')
    .map((line) => /^\d+:([^:]*):(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, names = '', path = '']) => ({ controllers: names.split(',').filter(Boolean), path }));
  return mountinfo.split('\n').flatMap((line) => {
    const [mount = '', system = ''] = line.split(' - ');
    const [, , , root = '', mountPoint = ''] = mount.split(' ').map(unescaped);
    const [type, , options = ''] = system.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    const version = type === 'cgroup2' ? 2 : 1;
    const named = options.split(',');
    const group = groups.find(({ controllers: names }) =>
      version === 2 ? names.length === 0 : names.length > 0 && names.every((name) => named.includes(name)),
    );
    const own = group && below(root, group.path);
    if (!group || own === undefined) return [];
    return [{ version, controllers: group.controllers, mountPoint, own: join(mountPoint, own) }];
  });
}

/** A path within a mount of `root`; undefined if it lies elsewhere. */
function below(root: string, path: string): string | undefined {
  if (path.split('/').includes('..')) return undefined;
  if (root === '/') return path;
  return path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : undefined;
}

/** v2 first: it has whatever it can, and of v1 what is missing then. */
async function placesIn(hierarchies: readonly Hierarchy[], name: string, mayMove: boolean): Promise<Place[]> {
  const places: Place[] = [];
  const isMissing = (controller: Controller) => !places.some((place) => place.controllers.includes(controller));
  for (const hierarchy of hierarchies.filter(({ version }) => version === 2)) {
    const place = unifiedPlace(hierarchy, name, mayMove);
    if (place && (await canJoin(place))) places.push(place);
  }
  for (const { controllers: named, own } of hierarchies.filter(({ version }) => version === 1)) {
    const wanted = controllers.filter((controller) => named.includes(controller) && isMissing(controller));
    if (wanted.length === 0 || !isWritable(own)) continue;
    const place: Place = { version: 1, directory: join(own, name), controllers: wanted };
    if (await canJoin(place)) places.push(place);
  }
  return places;
}

function unifiedPlace(hierarchy: Hierarchy, name: string, mayMove: boolean): Place | undefined {
  const base = baseOf(hierarchy);
  if (base === undefined) return undefined;
  const offered = textOf(join(base, 'cgroup.controllers')).trim().split(' ');
  const wanted = controllers.filter((controller) => offered.includes(controller));
  const enabled = () => textOf(join(base, 'cgroup.subtree_control')).trim().split(' ');
  const enable = () => wanted.forEach((controller) => attempt(join(base, 'cgroup.subtree_control'), `+${controller}`));
  const isWhole = () => wanted.every((controller) => enabled().includes(controller));
  if (!isWhole()) enable();
  if (!isWhole() && mayMove && isContainerRoot(hierarchy, base)) {
    moveDaemon(base);
    enable();
  }
  const found = wanted.filter((controller) => enabled().includes(controller));
  return { version: 2, directory: join(base, name), controllers: found };
}

/**
 * The group below which those of instances are made: the root for root, so that instances outlive the service of their daemon and do
 * not count as its own; else the topmost that this user may write to.
 */
function baseOf({ own, mountPoint }: Hierarchy): string | undefined {
  if (process.getuid?.() === 0) return isWritable(mountPoint) ? mountPoint : undefined;
  let top: string | undefined;
  for (let path = own; path.startsWith(mountPoint) && isWritable(path); path = dirname(path)) top = path;
  return top;
}

/** The root of a container is not that of the host, which alone has no such file. */
function isContainerRoot({ mountPoint }: Hierarchy, base: string): boolean {
  return base === mountPoint && existsSync(join(base, 'cgroup.events'));
}

function moveDaemon(base: string): void {
  const leaf = join(base, daemonGroup);
  try {
    mkdirSync(leaf, { recursive: true });
  } catch {
    return;
  }
  for (const pid of textOf(join(base, 'cgroup.procs')).split('\n').filter(Boolean)) {
    attempt(join(leaf, 'cgroup.procs'), pid);
  }
}

/** By trying it: who may move a process depends on more than the mode of a file. */
async function canJoin(place: Place): Promise<boolean> {
  const path = join(place.directory, `probe-${process.pid}`);
  try {
    await makeGroup(place, path);
    const { status } = spawnSync('/bin/sh', ['-c', 'echo 0 >"$1"', 'sh', join(path, 'cgroup.procs')], {
      stdio: 'ignore',
      env: {},
    });
    return status === 0;
  } catch {
    return false;
  } finally {
    remove(path);
    remove(place.directory);
  }
}

async function makeGroup({ directory, version, controllers: limited }: Place, path: string): Promise<void> {
  for (let attempts = 1; ; attempts += 1) {
    try {
      await mkdir(path, { mode: 0o755 });
      break;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') break;
      // It is the first one, or another dispatcher that closes has removed the directory while it was empty.
      if ((code !== 'ENOENT' && code !== 'ENODEV') || attempts > 3) throw error;
      mkdirSync(directory, { recursive: true, mode: 0o755 });
    }
  }
  if (version === 1) return;
  for (const controller of limited) writeFileSync(join(directory, 'cgroup.subtree_control'), `+${controller}`);
}

function settings(controller: Controller, version: 1 | 2, limits: Limits): [file: string, value: string][] {
  const { memoryBytes, cpus, cpuWeight, pids } = limits;
  switch (controller) {
    case 'memory': {
      if (memoryBytes === undefined) return [];
      const bytes = String(memoryBytes);
      return version === 2
        ? [
            ['memory.max', bytes],
            ['memory.swap.max', '0'],
          ]
        : [
            ['memory.limit_in_bytes', bytes],
            ['memory.memsw.limit_in_bytes', bytes],
          ];
    }
    case 'pids':
      return pids === undefined ? [] : [['pids.max', String(pids)]];
    case 'cpu': {
      const quota = cpus === undefined ? undefined : String(Math.max(1_000, Math.round(cpus * periodUs)));
      if (version === 2) {
        return [
          ...(cpuWeight === 100 ? [] : ([['cpu.weight', String(cpuWeight)]] as [string, string][])),
          ...(quota === undefined ? [] : ([['cpu.max', `${quota} ${periodUs}`]] as [string, string][])),
        ];
      }
      return [
        ...(cpuWeight === 100
          ? []
          : ([['cpu.shares', String(Math.max(2, Math.round((cpuWeight * 1024) / 100)))]] as [string, string][])),
        ...(quota === undefined ? [] : ([['cpu.cfs_quota_us', quota]] as [string, string][])),
      ];
    }
  }
}

/** Without swap accounting its file is not there, and then there is nothing to limit. */
function set(path: string, file: string, value: string): void {
  const isOptional = file.includes('swap') || file.includes('memsw');
  if (isOptional && !existsSync(join(path, file))) return;
  try {
    writeFileSync(join(path, file), value);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new Error(`the kernel does not take ${value} for ${file} of its control group (${code}); change its limits`, {
      cause: error,
    });
  }
}

/** Names of the groups within a group. */
export function groupsIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    accessSync(join(path, 'cgroup.procs'), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function attempt(path: string, value: string): boolean {
  try {
    if (!existsSync(path)) return false;
    writeFileSync(path, value);
    return true;
  } catch {
    return false;
  }
}

function remove(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // It is gone, or in use.
  }
}

function unescaped(field: string): string {
  return field.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

import {
  allProcesses,
  childrenOf,
  forEachProcess,
  hasInEnvironment,
  identify,
  isRunning,
  mayRun,
  type ProcessIdentity,
  type ProcessStat,
  statOf,
  usersOf,
} from '../../machine/proc-fs.js';
import { pidsOf } from './control-groups.js';
import { marker } from './environment.js';
import type { ProcessRecord } from './records.js';

/**
 * All processes of an instance. With a control group: its members, as only this program moves processes in or out, and the main
 * process, which enters it before it becomes the app. Without one: the main process, its process group, processes of its user with its
 * marker, and the descendants of all these.
 *
 * The number of a group whose leader is dead may be reused: such a group counts only with `trustGroup`, for a leader that was alive a
 * moment ago. Throws if the system cannot tell at the moment.
 */
export async function membersOf(record: ProcessRecord, trustGroup = false): Promise<ProcessStat[]> {
  const grouped = record.groups?.[0] === undefined ? [] : membersOfGroup(record, record.groups[0]);
  // An instance that also has a pid namespace may leave its control group.
  if (record.groups?.[0] !== undefined && !record.pidNamespace) return grouped;
  const all = (await allProcesses()).filter(({ pid }) => pid !== process.pid && pid > 1);
  // Reading an environment is expensive, and nothing that an instance started is older than its main process.
  const born = Number(record.process?.startTime ?? 0);
  const young = all.filter(({ startTime }) => Number(startTime) >= born);
  const marked = await forEachProcess(
    young.map(({ pid }) => pid),
    (pid) => isMarked(pid, record),
  );
  const members = new Map(young.filter((_, index) => marked[index]).map((stat) => [stat.pid, stat]));
  for (const stat of grouped) members.set(stat.pid, stat);
  const group = ownGroup(record, trustGroup);
  for (const stat of all) if (stat.group === group) members.set(stat.pid, stat);
  addDescendants(all, members);
  return [...members.values()];
}

/** Number of the process group, if it is certainly the instance's; see `membersOf`. */
export function ownGroup({ process: main }: ProcessRecord, trustGroup: boolean): number | undefined {
  if (!main) return undefined;
  return isRunning(main) || (trustGroup && !mayRun(main.pid)) ? main.pid : undefined;
}

/** Whether a process group has a member that is no zombie. */
export async function groupLives(group: number): Promise<boolean> {
  try {
    process.kill(-group, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return (await allProcesses()).some((stat) => stat.group === group);
}

/** Finds the main process of an instance whose dispatcher died before recording it: a marked group leader. */
export async function findMain(record: ProcessRecord): Promise<ProcessIdentity | undefined> {
  const entered = oldest(membersOfGroup(record, record.groups?.[0]).filter(isLeader));
  if (entered) return entered;
  const leaders = (await allProcesses()).filter((stat) => isLeader(stat) && stat.pid > 1);
  const marked = await forEachProcess(
    leaders.map(({ pid }) => pid),
    (pid) => isMarked(pid, record),
  );
  return oldest(leaders.filter((_, index) => marked[index]));
}

function membersOfGroup({ process: main }: ProcessRecord, group: string | undefined): ProcessStat[] {
  const pids = new Set(group === undefined ? [] : pidsOf(group));
  if (main && isRunning(main)) pids.add(main.pid);
  return [...pids].map(statOf).filter((stat) => stat !== undefined);
}

function isLeader({ pid, group }: ProcessStat): boolean {
  return pid === group;
}

function oldest(stats: readonly ProcessStat[]): ProcessIdentity | undefined {
  const [first] = stats.toSorted((a, b) => Number(a.startTime) - Number(b.startTime) || a.pid - b.pid);
  return first && identify(first.pid);
}

/**
 * Whether a process carries the marker of an instance and runs as its user, or still as ours before it changes. A process of another
 * user does not count, even if it has got hold of the marker.
 */
async function isMarked(pid: number, { secret, uid }: ProcessRecord): Promise<boolean> {
  if (secret === undefined || uid === undefined) return false;
  const [real] = usersOf(pid);
  if (real === undefined || (real !== uid && real !== process.getuid?.())) return false;
  return hasInEnvironment(pid, marker(secret));
}

/** A process and its descendants, by the kernel's lists of children: much cheaper than looking at all processes. */
export async function treeOf(pid: number): Promise<number[]> {
  const tree = [pid];
  for (const parent of tree) tree.push(...(await childrenOf(parent)));
  return tree;
}

function addDescendants(all: readonly ProcessStat[], members: Map<number, ProcessStat>): void {
  for (let grown = true; grown;) {
    grown = false;
    for (const stat of all) {
      if (!members.has(stat.parent) || members.has(stat.pid)) continue;
      members.set(stat.pid, stat);
      grown = true;
    }
  }
}

import { allProcesses, hasInEnvironment, isRunning, type ProcessStat } from '../../proc-fs.js';
import type { ProcessRecord } from './records.js';

/** Every process is started with this entry in its environment, and so are its children unless they clear it. */
export function marker(id: string): string {
  return `FASTCONTAINER_INSTANCE=${id}`;
}

/**
 * All processes of an instance: its main process, the group and the descendants of that, and whatever carries its marker,
 * also after it left the group. A group whose leader is dead is trusted only by the marker, as its number may be another's.
 */
export async function membersOf(record: ProcessRecord): Promise<number[]> {
  const all = await allProcesses();
  const marked = await Promise.all(all.map(({ pid }) => hasInEnvironment(pid, marker(record.id))));
  const members = new Set(all.filter((_, index) => marked[index]).map(({ pid }) => pid));
  const leader = record.process;
  if (leader && isRunning(leader)) {
    members.add(leader.pid);
    for (const { pid, group } of all) if (group === leader.pid) members.add(pid);
  }
  addDescendants(all, members);
  members.delete(process.pid);
  return [...members];
}

function addDescendants(all: readonly ProcessStat[], members: Set<number>): void {
  for (let grown = true; grown;) {
    grown = false;
    for (const { pid, parent } of all) {
      if (!members.has(parent) || members.has(pid)) continue;
      members.add(pid);
      grown = true;
    }
  }
}

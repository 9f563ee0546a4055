import { type Clock, sleep } from '../../model/clock.js';
import { isRunning, type ProcessIdentity, stillRuns } from '../../machine/proc-fs.js';
import { signalTo } from '../../machine/signal-to.js';
import { killGroup, pidsOf } from './control-groups.js';
import { thaw } from './freezer.js';
import { groupLives, membersOf, ownGroup } from './members.js';
import type { ProcessRecord } from './records.js';

export interface EndOptions {
  readonly graceMs: number;
  readonly clock: Clock;
  /** The main process was alive a moment ago, so that the group's number cannot have been reused. */
  readonly trustGroup?: boolean;
}

const firstPauseMs = 5;
const longestPauseMs = 100;
/** Limit after SIGKILL: a process in an uninterruptible call may take long to die. */
const killLimitMs = 30_000;

/**
 * Ends all processes of an instance, which run before if they are frozen: sends SIGTERM to the main process's group, then SIGKILL to all that is left after the group has
 * ended or its grace is over, even outside the group. Resolves when all are dead; zombies count as dead. Throws an Error that names
 * what does not die.
 */
export async function end(record: ProcessRecord, { graceMs, clock, trustGroup = false }: EndOptions): Promise<void> {
  const main = record.process && isRunning(record.process) ? record.process : undefined;
  thaw(record.groups ?? []);
  // A process that leaves the group and clears its environment can be found only through its parents, while these live.
  const seen = new Map<number, string>();
  if (main && graceMs > 0) {
    for (const { pid, startTime } of await membersOf(record)) seen.set(pid, startTime);
    await endGracefully(main, graceMs, clock);
  }
  await killAll(record, seen, clock, trustGroup || main !== undefined);
}

async function endGracefully(main: ProcessIdentity, graceMs: number, clock: Clock): Promise<void> {
  const deadline = clock.monotonic() + graceMs;
  if (!signalTo(-main.pid, 'SIGTERM')) signalTo(main.pid, 'SIGTERM');
  let pauseMs = firstPauseMs;
  while ((isRunning(main) || (await groupLives(main.pid))) && clock.monotonic() < deadline) {
    await sleep(clock, Math.max(1, Math.min(pauseMs, deadline - clock.monotonic())));
    pauseMs = Math.min(longestPauseMs, pauseMs * 1.5);
  }
}

/** Kills until nothing is left, as a process may start another one while it is being killed. */
async function killAll(
  record: ProcessRecord,
  seen: Map<number, string>,
  clock: Clock,
  trustGroup: boolean,
): Promise<void> {
  const limit = clock.monotonic() + killLimitMs;
  let pauseMs = firstPauseMs;
  for (;;) {
    // With cgroup v1 a signal waits until they run.
    thaw(record.groups ?? []);
    if (record.groups) killGroup(record.groups);
    for (const { pid, startTime } of await membersOf(record, trustGroup)) seen.set(pid, startTime);
    const left = [...seen].filter(([pid, startTime]) => stillRuns(pid, startTime));
    // A process whose first thread has ended looks dead while its other threads run, but its control group still lists it.
    const grouped = record.groups?.[0] === undefined ? [] : pidsOf(record.groups[0]);
    if (left.length === 0 && grouped.length === 0) return;
    // The whole group at once, so that no member can escape by forking; then those outside, one by one.
    const group = ownGroup(record, trustGroup);
    if (group !== undefined) signalTo(-group, 'SIGKILL');
    for (const [pid] of left) signalTo(pid, 'SIGKILL');
    if (clock.monotonic() > limit) {
      const pids = [...new Set([...left.map(([pid]) => pid), ...grouped])].join(', ');
      throw new Error(`instance ${record.id} does not die after SIGKILL (processes ${pids}); see what blocks them`);
    }
    await sleep(clock, pauseMs);
    pauseMs = Math.min(longestPauseMs, pauseMs * 1.5);
  }
}

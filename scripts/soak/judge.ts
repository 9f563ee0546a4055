import { Closed, Hung, Refused, WrongAnswer } from '../load/failure.js';
import type { Trace } from '../load/trace.js';
import { idleTtlMs } from './apps.js';
import type { Kill } from './kills.js';
import type { Outage } from './redis.js';

/** Everything that happened, for judging one failed exchange. Times: performance.now(). */
export interface Evidence {
  readonly trace: Trace;
  readonly error: unknown;
  readonly endedAt: number;
  readonly kills: readonly Kill[];
  readonly outages: readonly Outage[];
  /** Instances that the request reached. */
  readonly carriers: readonly string[];
  /** Instances that were ever ready. */
  readonly ready: ReadonlySet<string>;
}

export type Verdict =
  | {
      readonly excuse: 'daemon killed' | 'worker killed' | 'container killed' | 'boot killed' | 'store away' | 'silent';
    }
  | { readonly finding: string; readonly detail: string };

/** A kept connection may be found dead only by the request that is sent on it. */
const keptMs = 2_000;
/** Until the kernel has cleared away a process that was killed, its sockets take what is sent to them. */
const dyingMs = 1_000;
/** What ended a request must have ended it soon: later it is a hang. Longer than a loaded machine lets anything wait. */
const promptMs = 15_000;
/** How long after the store answers again a boot may still be refused: until all have connected anew. */
const reconnectMs = 5_000;
/** And where it came back empty: a session's TTL, for which nothing is booted, until the nodes have seen it. */
const emptyMs = 10_000 + 3_000 + reconnectMs;
/** How long an app may be held back after a boot of it was killed, or two of its instances in a row before they were old. */
const backoffMs = 5_000;
/** Two kills of an app within this time look like a crash loop: young deaths in a row, with a boot between them. */
const crashLoopMs = 30_000;

/** Whether what was killed explains a failure. Nothing else does. */
export function judge(evidence: Evidence): Verdict {
  const { trace, error, endedAt, kills } = evidence;
  if (error instanceof Hung || error instanceof WrongAnswer) return finding(evidence);
  const during = kills.filter(({ at, kind }) => {
    const from = trace.startedAt - (kind === 'container' ? dyingMs : 0);
    return at >= from && at <= endedAt && endedAt - at < promptMs;
  });
  if (error instanceof Refused) {
    if (isCarriedByKilled(evidence, during) && error.code === 'upstream_reset') return { excuse: 'container killed' };
    if (isBootKilled(evidence) && error.code === 'boot_failed' && error.retryAfter) return { excuse: 'boot killed' };
    if (isStoreAway(evidence) && error.code === 'cmdb_unavailable' && error.retryAfter) return { excuse: 'store away' };
    return finding(evidence);
  }
  // On a machine that stood still the client itself may have been silent for so long; it never means to.
  if (error instanceof Closed && error.code === 1_001 && error.silentMs >= idleTtlMs) return { excuse: 'silent' };
  // The connection broke.
  if (during.some((kill) => kill.kind === 'daemon' && kill.port === trace.port)) return { excuse: 'daemon killed' };
  const holders = kills.filter(({ at }) => at <= endedAt && at >= trace.startedAt - keptMs);
  for (const kill of holders) {
    if (kill.kind === 'worker' && kill.clientPorts.has(trace.clientPort ?? 0)) return { excuse: 'worker killed' };
  }
  if (trace.answered && isCarriedByKilled(evidence, during)) return { excuse: 'container killed' };
  return finding(evidence);
}

/**
 * The instance that had the request, which could not be sent to another one: it was answering, or the request may be sent
 * once only. One that nobody noted was killed before it could: then any killed instance of the app may be the one.
 */
function isCarriedByKilled({ trace, carriers }: Evidence, during: readonly Kill[]): boolean {
  if (trace.replayable && !trace.answered) return false;
  const killed = during.filter((kill) => kill.kind === 'container' && kill.app === trace.app);
  if (carriers.length === 0) return killed.length > 0;
  return killed.some((kill) => kill.kind === 'container' && carriers.includes(kill.instance));
}

/** Before it was ready, or for the second time while it was young: that is a failed boot, and the next waits its time. */
function isBootKilled({ trace, endedAt, kills, ready }: Evidence): boolean {
  const mine = kills.filter((kill) => kill.kind === 'container' && kill.app === trace.app && kill.at <= endedAt);
  return mine.some((kill, index) => {
    if (kill.kind !== 'container' || endedAt - kill.at >= backoffMs + promptMs) return false;
    const before = mine[index - 1];
    return !ready.has(kill.instance) || (before !== undefined && kill.at - before.at < crashLoopMs);
  });
}

function isStoreAway({ trace, endedAt, outages }: Evidence): boolean {
  return outages.some(({ from, until = Infinity, empty }) => {
    return from <= endedAt && trace.startedAt <= until + (empty ? emptyMs : reconnectMs);
  });
}

function finding({ trace, error, carriers }: Evidence): Verdict {
  const message = error instanceof Error ? error.message || String(error) : String(error);
  const { kind, app, id, port } = trace;
  const progress = trace.answered ? 'while it was answered' : 'before it was answered';
  const detail = `trace ${id} to port ${port}, reached ${carriers.join(', ') || 'no instance'}`;
  return { finding: `${kind} to ${app} ${progress}: ${message}`, detail };
}

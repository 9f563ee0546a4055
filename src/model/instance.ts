import type { RuntimeName } from './app.js';
import type { OutliveReason } from './lifetime.js';

/** Life of an instance. The table of moves is `transitions`; the diagram is in docs/architecture.md. */
export type InstanceState = 'booting' | 'ready' | 'pausing' | 'paused' | 'resuming' | 'draining' | 'terminating';

/** From a state to those that may follow it; `removed` is the end, not a state. */
export const transitions: Readonly<Record<InstanceState, readonly (InstanceState | 'removed')[]>> = {
  booting: ['ready', 'terminating', 'removed'],
  ready: ['pausing', 'draining', 'removed'],
  pausing: ['paused', 'ready', 'draining', 'removed'],
  paused: ['resuming', 'draining', 'removed'],
  resuming: ['ready', 'paused', 'draining', 'removed'],
  draining: ['terminating', 'removed'],
  terminating: ['removed'],
};

/** Whether an instance is paused or about to be, or about to be resumed: nobody may use it, and it counts as standing. */
export function isSuspended({ state }: Pick<Instance, 'state'>): boolean {
  return state === 'pausing' || state === 'paused' || state === 'resuming';
}

/** Why an instance ends. */
export type EndReason =
  | OutliveReason
  | 'idle'
  | 'app_removed'
  | 'boot_failed'
  | 'resume_failed'
  | 'stopped'
  | 'orphaned'
  | 'memory';

/** Why an instance was booted: for a request, for more load, for scale.min, in the place of another, or by an operator. */
export const bootCauses = ['request', 'load', 'minimum', 'lifetime', 'revision', 'restart', 'operator'] as const;

export type BootCause = (typeof bootCauses)[number];

/** Where a container accepts connections, reachable by every node. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Tells one runtime from others of its kind on one machine. Nodes that share it see the same containers. */
export interface RuntimeIdentity {
  /** Random and unique. */
  readonly id: string;
  /** A directory or an engine, for messages. */
  readonly place: string;
}

/** Which runtime holds an instance. */
export interface Location {
  readonly runtime: RuntimeName;
  /** The machine of the runtime. */
  readonly host: string;
  /** Identity of the runtime, see `RuntimeIdentity`; absent if it was not known. */
  readonly runtimeId?: string;
}

/** What a node sees: the runtimes of its machine. */
export interface Sight {
  readonly host: string;
  /** Identities of its runtimes by name, as far as they are known. */
  readonly runtimeIds?: { get(name: RuntimeName): string | undefined };
}

/** Whether a node sees an instance. Only a node that does may end it, or say that it ended. */
export function sees({ host, runtimeIds }: Sight, location: Location): boolean {
  if (host !== location.host) return false;
  const id = runtimeIds?.get(location.runtime);
  return id === undefined || location.runtimeId === undefined || id === location.runtimeId;
}

/** A node that may send requests to an instance. Times are epoch milliseconds. */
export interface User {
  readonly since: number;
  /** Set while nothing but silent WebSockets holds the instance: the time of its last activity. */
  readonly quietSince?: number;
}

/** One container of an app. Its id is never reused. Times are epoch milliseconds. */
export interface Instance extends Location {
  readonly id: string;
  readonly revision: string;
  readonly state: InstanceState;
  readonly address?: Address;
  /** Session that carries out an owned state (booting, pausing, resuming, terminating); absent: one of its host is to take it up. */
  readonly owner?: string;
  /** Session of another machine that asked for the boot, or for what a request needs of a paused instance. */
  readonly askedBy?: string;
  /** When an owned state is given up and anyone may take over. */
  readonly deadlineAt?: number;
  /** Absent if a version that did not note it booted it. */
  readonly cause?: BootCause;
  readonly bootedAt: number;
  /** When its container was started, from when on its running time counts; absent before, and if it is not known. */
  readonly startedAt?: number;
  readonly readyAt?: number;
  readonly lastActiveAt: number;
  readonly users: Readonly<Record<string, User>>;
  /** Milliseconds per phase of the boot. */
  readonly boot: Readonly<Record<string, number>>;
  /** Set from `draining` on; while it boots: its boot is to be broken off. */
  readonly end?: { readonly reason: EndReason; readonly since: number };
  /** Since when an operator wants another one in its place. */
  readonly restartAt?: number;
  /** Its runtime failed to pause it: it is not tried again. */
  readonly unpausable?: true;
  /** While it boots: the instance that drains as soon as this one is ready, and why. */
  readonly replaces?: { readonly id: string; readonly reason: OutliveReason };
  /** Failed boots in a row before this one; an instance that dies young continues the count. */
  readonly failuresBefore?: number;
}

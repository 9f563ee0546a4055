import type { Deployment } from '../deployment.js';
import type { Instance } from '../instance.js';
import type { Ran } from '../usage.js';

/** What can happen to an instance; `maintenance` to its app. docs/api.md says what each means. */
export const factKinds = [
  'booting',
  'ready',
  'paused',
  'resumed',
  'draining',
  'terminating',
  'ended',
  'failed',
  'exited',
  'lost',
  'found',
  'restart',
  'maintenance',
] as const;

export type FactKind = (typeof factKinds)[number];

/** One thing that a change of a deployment made true. */
export interface Fact {
  readonly kind: FactKind;
  /** After the change; before it if it is gone. Absent if it is the app's. */
  readonly instance?: Instance;
  /** Such as the cause of a boot, the reason of an end, or the code of a failure. */
  readonly cause?: string;
  /** Why a boot failed. */
  readonly message?: string;
}

/** Who or what stands behind a change, beyond what the deployment says. */
export interface Note {
  /** The request that a boot is for. */
  readonly request?: WakingRequest;
  /** Name of an operator's token. */
  readonly by?: string;
  /** How an instance ended that nobody ended. */
  readonly exit?: string;
  /** What it wrote last. */
  readonly output?: string;
  /** When an instance that is gone ran, for its app's usage. */
  readonly ran?: Ran;
}

/** A request as far as the ledger may know it: neither its query nor who sent it. */
export interface WakingRequest {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  /** What kind of program sent it, by its user agent. */
  readonly agent: AgentClass;
  /** The network of its client: a /24 of IPv4, a /48 of IPv6. Absent if that is not known. */
  readonly client?: string;
}

export type AgentClass = 'browser' | 'bot' | 'monitor' | 'scanner' | 'program' | 'none';

/**
 * What a change of a deployment made true, in the order in which it happened. Pure. Each change of an instance's state is told by
 * exactly one change of its deployment, so who writes it also notes it, once.
 */
export function factsOf(before: Deployment, after: Deployment, note: Note = {}): readonly Fact[] {
  if (before === after) return [];
  const later = new Map(after.instances.map((instance) => [instance.id, instance]));
  const facts: Fact[] = [];
  for (const was of before.instances) {
    const is = later.get(was.id);
    later.delete(was.id);
    if (is === was) continue;
    if (is) facts.push(...changed(was, is, before, after));
    else facts.push(gone(was, before, after, note));
  }
  for (const added of later.values()) facts.push(...begun(added));
  if (!isSame(before.maintenance, after.maintenance))
    facts.push({ kind: 'maintenance', cause: after.maintenance?.mode ?? 'app' });
  return facts;
}

function begun(instance: Instance): readonly Fact[] {
  const { state, cause } = instance;
  if (state !== 'booting') return [{ kind: 'found', instance, cause: state }];
  return [{ kind: 'booting', instance, ...(cause !== undefined && { cause }) }];
}

function changed(was: Instance, is: Instance, before: Deployment, after: Deployment): readonly Fact[] {
  const facts: Fact[] = [];
  const cause = is.end && { cause: is.end.reason };
  if (was.readyAt === undefined && is.readyAt !== undefined) facts.push({ kind: 'ready', instance: is });
  if (was.restartAt === undefined && is.restartAt !== undefined) facts.push({ kind: 'restart', instance: is });
  if (was.state === is.state) return facts;
  if (was.state === 'pausing' && is.state === 'paused') facts.push({ kind: 'paused', instance: is });
  if (was.state === 'resuming' && is.state === 'ready') facts.push({ kind: 'resumed', instance: is });
  if (is.state === 'draining') facts.push({ kind: 'draining', instance: is, ...cause });
  if (is.state !== 'terminating') return facts;
  const failure = was.state === 'booting' ? failureIn(before, after) : undefined;
  return [
    ...facts,
    failure ? { kind: 'failed', instance: is, ...failure } : { kind: 'terminating', instance: is, ...cause },
  ];
}

function gone(instance: Instance, before: Deployment, after: Deployment, { exit }: Note): Fact {
  const { state, end } = instance;
  if (state === 'terminating') return { kind: 'ended', instance, ...(end && { cause: end.reason }) };
  if (state !== 'booting') return { kind: exit === undefined ? 'lost' : 'exited', instance };
  const failure = failureIn(before, after);
  return failure
    ? { kind: 'failed', instance, ...failure }
    : { kind: 'ended', instance, cause: end?.reason ?? 'withdrawn' };
}

/** The failure that the change has noted. */
function failureIn(before: Deployment, after: Deployment): { cause: string; message: string } | undefined {
  const noted =
    (after.breaker !== before.breaker && after.breaker) ||
    (after.failedRevision !== before.failedRevision && after.failedRevision);
  return noted ? { cause: noted.code, message: noted.message } : undefined;
}

function isSame(a: Deployment['maintenance'], b: Deployment['maintenance']): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

import type { App } from './app.js';
import { backoffLeftMs } from './breaker.js';
import { type Deployment, standing } from './deployment.js';
import { type Instance, isSuspended } from './instance.js';
import type { LedgerEvent } from './ledger/event.js';
import type { WakingRequest } from './ledger/facts.js';
import { idleAt } from './lifetime.js';
import { maintenanceOf } from './maintenance.js';
import { upkeepDueAt } from './upkeep.js';

/** What goes on at an instance, as far as the dispatchers of this machine know. */
export interface Activity {
  /** Requests and connections under way. */
  readonly inflight: number;
  /** Of them, those that keep it awake by themselves: requests that count as activity. */
  readonly counting: number;
  /** How many dispatchers of this machine are its users. */
  readonly users: number;
  /** Epoch milliseconds; in the future while the app has said that it works on. */
  readonly lastActiveAt: number;
}

export interface WhySource {
  readonly app: App;
  readonly removed: boolean;
  readonly deployment: Deployment;
  /** By instance id. */
  readonly activity: ReadonlyMap<string, Activity>;
  /** The latest of the app, the oldest first. */
  readonly events: readonly LedgerEvent[];
  readonly now: number;
}

export interface Why {
  /** Why the app is awake or asleep, in one sentence. */
  readonly sentence: string;
  /** What keeps it awake; none if nothing does. */
  readonly keptBy: readonly ('requests' | 'connections' | 'busy' | 'minimum' | 'other_nodes' | 'idle_ttl')[];
  /** When its last instance falls asleep if nothing happens until then, in epoch milliseconds. */
  readonly sleepsAt?: number;
  /** The request that the newest instance was booted for. */
  readonly wokenBy?: WakingRequest;
  /** The last failure, if it does not boot or has just died. */
  readonly failure?: { readonly at: number; readonly message: string; readonly output: string };
}

/** Says why an app is awake or asleep. Pure. */
export function whyOf(source: WhySource): Why {
  const { app, removed, deployment } = source;
  const { instances } = deployment;
  const ready = instances.filter(({ state }) => state === 'ready');
  if (removed) return plain(`App ${app.name} is removed: ${ending(instances.length)}.`);
  if (ready.length > 0) return awake(source, ready);
  const booting = instances.find(({ state }) => state === 'booting');
  if (booting) return boots(source, booting);
  const suspended = instances.filter(isSuspended);
  if (suspended.length > 0) return paused(source, suspended);
  if (instances.length > 0) return falling(source, instances[0]!);
  return asleep(source);
}

function awake(source: WhySource, ready: readonly Instance[]): Why {
  const { app, deployment } = source;
  const newest = ready.reduce((a, b) => ((b.readyAt ?? 0) > (a.readyAt ?? 0) ? b : a));
  const { keptBy, reasons, sleepsAt } = keeping(source, ready);
  const wokenBy = bootOf(source, newest.id)?.request;
  const count = ready.length === 1 ? '' : ` with ${ready.length} instances`;
  const parts = [
    `App ${app.name} is awake${count} since ${time(newest.readyAt ?? newest.bootedAt)}`,
    wokenFor(newest, bootOf(source, newest.id)),
    ...reasons,
    sleepsAt === undefined ? '' : `it falls asleep at ${time(sleepsAt)} if nothing happens until then`,
    maintenanceText(app, deployment),
  ];
  return {
    ...plain(`${parts.filter(Boolean).join('; ')}.`),
    keptBy,
    ...(sleepsAt !== undefined && { sleepsAt }),
    ...(wokenBy && { wokenBy }),
    ...failureOf(source),
  };
}

interface Keeping {
  readonly keptBy: Why['keptBy'];
  readonly reasons: readonly string[];
  readonly sleepsAt?: number;
}

/** What keeps the ready instances, the strongest reason first. */
function keeping({ app, activity, now }: WhySource, ready: readonly Instance[]): Keeping {
  const here = ready.flatMap(({ id }) => activity.get(id) ?? []);
  const sum = (of: (each: Activity) => number) => here.reduce((total, each) => total + of(each), 0);
  const counting = sum((each) => each.counting);
  const others = sum((each) => each.inflight) - counting;
  const lastActiveAt = Math.max(0, ...here.map((each) => each.lastActiveAt));
  const keptBy: Why['keptBy'][number][] = [];
  const reasons: string[] = [];
  const keep = (by: Why['keptBy'][number], reason: string) => {
    keptBy.push(by);
    reasons.push(reason);
  };
  if (ready.length <= app.scale.min) keep('minimum', `scale.min: ${app.scale.min} keeps it awake`);
  if (counting > 0) keep('requests', `${counting} ${counting === 1 ? 'request is' : 'requests are'} under way`);
  if (lastActiveAt > now && counting === 0)
    keep('busy', `the app has said that it works on until ${time(lastActiveAt)}`);
  if (others > 0 && lastActiveAt + app.idleTtlMs > now)
    keep(
      'connections',
      `${others} open ${others === 1 ? 'connection keeps' : 'connections keep'} it awake while data flows on them`,
    );
  const isElsewhere = ({ id, users }: Instance) => Object.keys(users).length > (activity.get(id)?.users ?? 0);
  const unknown = ready.some((instance) => isElsewhere(instance) && idleAt(instance, app) === Infinity);
  if (unknown) keep('other_nodes', 'dispatchers of other machines use it');
  if (keptBy.includes('minimum') || counting > 0 || unknown) return { keptBy, reasons };
  const sleepsAt = Math.max(...ready.map((instance) => sleepsAtOf(instance, app, activity.get(instance.id))));
  if (keptBy.length === 0 && sleepsAt > now) {
    const last = Math.max(lastActiveAt, ...ready.map((instance) => instance.lastActiveAt));
    keep('idle_ttl', `the last activity was at ${time(last)}, and idleTtl is not over`);
  }
  return { keptBy, reasons, sleepsAt };
}

function sleepsAtOf(instance: Instance, app: App, activity: Activity | undefined): number {
  const at = idleAt(instance, app);
  const here = activity === undefined ? 0 : activity.lastActiveAt + app.idleTtlMs;
  return at === Infinity ? here : Math.max(at, here);
}

function boots(source: WhySource, booting: Instance): Why {
  const { app, deployment } = source;
  const boot = bootOf(source, booting.id);
  const limit = booting.deadlineAt === undefined ? '' : `it is given up at ${time(booting.deadlineAt)}`;
  const parts = [
    `App ${app.name} boots since ${time(booting.bootedAt)}`,
    wokenFor(booting, boot),
    limit,
    maintenanceText(app, deployment),
  ];
  return {
    ...plain(`${parts.filter(Boolean).join('; ')}.`),
    ...(boot?.request && { wokenBy: boot.request }),
    ...failureOf(source),
  };
}

function paused({ app, deployment }: WhySource, suspended: readonly Instance[]): Why {
  const last = Math.max(...suspended.map(({ lastActiveAt }) => lastActiveAt));
  const parts = [
    `App ${app.name} is paused: the last activity was at ${time(last)}`,
    maintenanceText(app, deployment) || 'the next request resumes it',
    `it ends at ${time(last + app.idleTtlMs)} if nothing happens until then`,
  ];
  return { ...plain(`${parts.join('; ')}.`), sleepsAt: last + app.idleTtlMs };
}

function falling({ app, deployment }: WhySource, { end }: Instance): Why {
  const since = end ? ` since ${time(end.since)}: ${endText(end.reason)}` : '';
  const parts = [
    `App ${app.name} falls asleep${since}`,
    ending(deployment.instances.length),
    maintenanceText(app, deployment),
  ];
  return plain(`${parts.filter(Boolean).join('; ')}.`);
}

function asleep(source: WhySource): Why {
  const { app, deployment, now } = source;
  const { breaker } = deployment;
  const maintenance = maintenanceText(app, deployment);
  if (breaker) {
    const leftMs = backoffLeftMs(breaker, now);
    const next =
      leftMs > 0
        ? `requests are refused until ${time(now + leftMs)}, then the next one tries again`
        : 'the next request tries again';
    const many = breaker.failures === 1 ? '' : ` (${breaker.failures} times in a row)`;
    const diedYoung = lastOutcome(source)?.kind === 'exited';
    const what = diedYoung ? 'ended by itself soon after it was ready' : 'does not boot';
    const parts = [`App ${app.name} ${what}: ${breaker.message}${many}`, maintenance || next];
    return { ...plain(`${parts.join('; ')}.`), ...failureOf(source) };
  }
  const last = source.events.findLast(({ kind }) => kind === 'ended' || kind === 'exited' || kind === 'lost');
  const since = last
    ? ` since ${time(last.at)}: ${endOf(last)}`
    : ': it has not run for as long as the ledger reaches back';
  const parts = [`App ${app.name} is asleep${since}`, maintenance || nextWake(source)];
  return { ...plain(`${parts.join('; ')}.`), ...failureOf(source) };
}

/** What will wake it. */
function nextWake({ app, deployment, now }: WhySource): string {
  const dueAt = upkeepDueAt(deployment, app);
  if (standing(deployment).length < app.scale.min && dueAt < Infinity)
    return `scale.min: ${app.scale.min} boots it ${dueAt > now ? `at ${time(dueAt)}` : 'now'}`;
  const refused = app.wake.rules.flatMap((rule, index) => {
    if (typeof rule === 'string') return [rule];
    return rule.wakes === true ? [] : [rule.name ?? rule.set ?? `rule-${index + 1}`];
  });
  const except =
    refused.length === 0
      ? ''
      : `, unless its wake rules deny that (${refused.slice(0, 5).join(', ')}${refused.length > 5 ? ', …' : ''})`;
  return `the next request wakes it${except}`;
}

function bootOf({ events }: WhySource, id: string): LedgerEvent | undefined {
  return events.findLast(({ kind, instance }) => kind === 'booting' && instance === id);
}

function wokenFor({ cause }: Instance, boot: LedgerEvent | undefined): string {
  if (boot?.request) return `${requestText(boot.request)} woke it`;
  if (cause === 'operator') return boot?.by === undefined ? 'an operator woke it' : `the token ${boot.by} woke it`;
  const causes: Readonly<Record<string, string>> = {
    request: 'a request woke it',
    load: 'it was booted for more load',
    minimum: 'scale.min booted it',
    lifetime: 'it took the place of one that was too old',
    revision: 'it took the place of one of another revision',
    restart: 'it took the place of one that an operator wanted replaced',
  };
  return causes[cause ?? ''] ?? '';
}

/** A request in a few words. */
export function requestText({ method, host, path, agent, client }: WakingRequest): string {
  const by = agent === 'none' ? 'a client without a user agent' : `a ${agent}`;
  return `${method} ${host}${path} by ${by}${client === undefined ? '' : ` in ${client}`}`;
}

function endOf({ kind, cause, message = '' }: LedgerEvent): string {
  if (kind === 'exited') return `it ended by itself (${message})`;
  return kind === 'lost' ? 'its machine was out of reach' : endText(cause ?? '');
}

function endText(reason: string): string {
  const texts: Readonly<Record<string, string>> = {
    idle: 'nobody used it for its idleTtl',
    memory: 'the machine needed its memory',
    stopped: 'an operator or the end of a dispatcher stopped it',
    lifetime: 'it was too old',
    revision: 'it was of another revision',
    restart: 'an operator wanted it replaced',
    boot_failed: 'its boot failed',
    resume_failed: 'it could not be resumed after a pause',
    app_removed: 'the app was removed',
    withdrawn: 'its boot was withdrawn',
  };
  return texts[reason] ?? reason;
}

function maintenanceText(app: App, deployment: Deployment): string {
  const said = maintenanceOf(app, deployment);
  if (!said) return '';
  const order = deployment.maintenance;
  const by = order ? `, ordered by ${order.by} at ${time(order.since)}` : ', as the app itself says';
  return said.mode === 'hold'
    ? `maintenance holds its requests${by}`
    : `maintenance answers in its place, and no request wakes it${by}`;
}

function ending(count: number): string {
  return count === 0 ? 'nothing of it runs' : `${count} ${count === 1 ? 'instance ends' : 'instances end'}`;
}

/** Of an app that does not boot, or whose last instance died: what is known of it. */
function failureOf(source: WhySource): Pick<Why, 'failure'> {
  const { breaker, failedRevision } = source.deployment;
  const last = lastOutcome(source);
  const noted = breaker ?? failedRevision;
  if (last && last.kind !== 'ready') {
    const { at, message = noted?.message ?? '', output = '' } = last;
    return { failure: { at, message, output } };
  }
  return {};
}

/** What the last boot or life came to. */
function lastOutcome({ events }: WhySource): LedgerEvent | undefined {
  return events.findLast(({ kind }) => kind === 'failed' || kind === 'exited' || kind === 'ready');
}

function plain(sentence: string): Why {
  return { sentence, keptBy: [] };
}

function time(at: number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? 'an unknown time' : date.toISOString().replace(/\.\d+Z$/, 'Z');
}

import type { App } from '../model/app.js';
import { backoffLeftMs } from '../model/breaker.js';
import type { Clock } from '../model/clock.js';
import { type Deployment, standing } from '../model/deployment.js';
import { RequestError } from '../model/errors.js';
import type { EndReason, Instance } from '../model/instance.js';
import { Lru } from '../model/lru.js';
import { TokenBuckets } from '../model/token-buckets.js';
import { parseRate, partOf, type Rate } from '../model/wake/rate.js';
import { type Verdict, wakeDenied } from '../model/wake/verdict.js';
import { CompiledRules, type Pace, type Subject } from './compiled-rules.js';

/** What becomes of a request, for the metric. */
export type WakeOutcome = 'woken' | 'denied' | 'counted' | 'uncounted';

export interface WakeGateOptions {
  /** Of the main file; an absent rate is unlimited. */
  readonly budget: { readonly perClient?: string; readonly total?: string };
  /** Processes that share the budgets: each has its part of them. */
  readonly parts: number;
  readonly clock: Clock;
  readonly onVerdict: (rule: string, outcome: WakeOutcome) => void;
}

/** What is asked for, and by which client. */
export interface Asking {
  readonly admitted: { readonly method: string; readonly target: string; readonly headers: readonly string[] };
  readonly client: string | undefined;
}

/** What is known of the app that is asked for. */
export interface Asked {
  readonly app: App;
  readonly deployment: Deployment;
  /** Requests that wait for it already. */
  readonly waiting: number;
}

/** Different lists of rules that are kept compiled; most apps have theirs from a plan. */
const mostCompiled = 1_000;
/** Clients, and pairs of app and client, whose tokens are remembered. */
const mostRemembered = 50_000;
const none: readonly string[] = [];
const outliveReasons: ReadonlySet<EndReason> = new Set(['lifetime', 'revision', 'restart']);

/** Decides who wakes apps and who keeps them awake: the rules of each app, and the budgets. */
export class WakeGate {
  readonly #options: WakeGateOptions;
  readonly #pace: Pace;
  readonly #compiled = new WeakMap<App['wake'], CompiledRules>();
  readonly #shared = new Lru<string, CompiledRules>(mostCompiled);
  readonly #buckets = new TokenBuckets(mostRemembered);

  constructor(options: WakeGateOptions) {
    this.#options = options;
    const { clock, parts } = options;
    this.#pace = { buckets: new TokenBuckets(mostRemembered), now: () => clock.monotonic(), parts };
  }

  /** What the rules of the app say of a request; undefined if none concerns it. */
  judge({ name, wake }: App, asking: Asking): Verdict | undefined {
    if (wake.rules.length === 0) return undefined;
    return this.#rulesOf(wake).judge(new AskingSubject(name, asking));
  }

  /** A request comes to an app that runs. */
  running(verdict: Verdict): void {
    this.#options.onVerdict(verdict.rule, verdict.counts ? 'counted' : 'uncounted');
  }

  /** Throws `wake_denied` if the app is asleep and this request may not wake it. Else takes from the budgets what the wake costs. */
  admit(asked: Asked, asking: Asking, verdict: Verdict | undefined): void {
    if (!isAsleep(asked)) {
      if (verdict) this.running(verdict);
      return;
    }
    const { onVerdict } = this.#options;
    if (verdict && !verdict.wakes) {
      onVerdict(verdict.rule, 'denied');
      throw wakeDenied(verdict);
    }
    this.#spend(asked, asking.client);
    if (verdict) onVerdict(verdict.rule, 'woken');
  }

  #rulesOf(wake: App['wake']): CompiledRules {
    const known = this.#compiled.get(wake);
    if (known) return known;
    const key = JSON.stringify([wake.rules, wake.asleep]);
    const compiled = this.#shared.get(key) ?? new CompiledRules(wake, this.#pace);
    this.#shared.set(key, compiled);
    this.#compiled.set(wake, compiled);
    return compiled;
  }

  /** Takes a token of each budget, if all have one. */
  #spend({ app, deployment }: Asked, client: string | undefined): void {
    const { budget, parts, clock, onVerdict } = this.#options;
    // Nothing is booted now, whatever comes.
    if (backoffLeftMs(deployment.breaker, clock.now()) > 0) return;
    const now = clock.monotonic();
    const due = [
      { budget: 'app', key: `app ${app.name}`, rate: rateOf(app.wake.budget.perApp, parts) },
      {
        budget: 'client',
        key: `client ${client ?? ''}`,
        rate: client === undefined ? undefined : rateOf(budget.perClient, parts),
      },
      { budget: 'total', key: 'total', rate: rateOf(budget.total, parts) },
    ].flatMap(({ rate, ...of }) => (rate ? [{ ...of, rate }] : []));
    for (const { budget: which, key, rate } of due) {
      const waitMs = this.#buckets.waitMs(key, rate, now);
      if (waitMs === 0) continue;
      const rule = `budget-${which}`;
      onVerdict(rule, 'denied');
      throw new RequestError('wake_denied', undefined, {
        cause: `wake budget per ${which}`,
        retryAfterS: Math.max(1, Math.ceil(waitMs / 1_000)),
      });
    }
    for (const { key, rate } of due) this.#buckets.take(key, rate, now);
  }
}

/**
 * Whether nothing of the app runs or boots, and no request before this one has asked for that. An app is not asleep while an instance
 * ends that another one takes the place of, as with `overlap: false`.
 */
function isAsleep({ deployment, waiting }: Asked): boolean {
  const isReplaced = ({ end }: Instance) => end !== undefined && outliveReasons.has(end.reason);
  return waiting === 0 && standing(deployment).length === 0 && !deployment.instances.some(isReplaced);
}

function rateOf(written: string | undefined, parts: number): Rate | undefined {
  const rate = written === undefined ? undefined : parseRate(written);
  return rate && partOf(rate, parts);
}

/** Looks up only what a rule asks for. */
class AskingSubject implements Subject {
  readonly app: string;
  readonly #asking: Asking;
  #userAgent: string | undefined;

  constructor(app: string, asking: Asking) {
    this.app = app;
    this.#asking = asking;
  }

  get method(): string {
    return this.#asking.admitted.method;
  }

  get path(): string {
    const { target } = this.#asking.admitted;
    const query = target.indexOf('?');
    return query === -1 ? target : target.slice(0, query);
  }

  get userAgent(): string {
    return (this.#userAgent ??= this.header('user-agent')[0] ?? '');
  }

  get client(): string | undefined {
    return this.#asking.client;
  }

  header(wanted: string): readonly string[] {
    const { headers } = this.#asking.admitted;
    let values: string[] | undefined;
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index] as string;
      if (name.length === wanted.length && name.toLowerCase() === wanted)
        (values ??= []).push(headers[index + 1] as string);
    }
    return values ?? none;
  }
}

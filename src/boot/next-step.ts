import { backoffLeftMs } from '../model/breaker.js';
import { vacancies } from '../model/deployment.js';
import { RequestError } from '../model/errors.js';
import type { InstanceState } from '../model/instance.js';
import type { BootHost } from './boot-hosts.js';
import { coming, excess, type Need } from './scale-policy.js';

/** What to do for requests that wait or exceed the target: use an instance, resume or boot one, wait for a change, or say why not. */
export type NextStep =
  | { readonly kind: 'use'; readonly instanceId: string }
  | { readonly kind: 'resume'; readonly instanceId: string }
  /** `scaleOut`: others serve already or are about to. `at`: the other host that has to boot it. */
  | { readonly kind: 'boot'; readonly scaleOut: boolean; readonly at?: string }
  | { readonly kind: 'wait' }
  | { readonly kind: 'refuse'; readonly error: RequestError };

const wait: NextStep = { kind: 'wait' };
const servesOrWill: ReadonlySet<InstanceState> = new Set(['ready', 'booting', 'pausing', 'resuming']);

/** Decides from what is known; pure. Cheap: above the target it is asked with each request. */
export function nextStep(need: Need, now: number): NextStep {
  const { deployment, app, uses, unclaimed, hosts } = need;
  const beyond = excess(need);
  if (beyond === 0) return wait;
  const fresh = deployment.instances.find(({ id, state }) => state === 'ready' && !uses.has(id));
  if (fresh) return { kind: 'use', instanceId: fresh.id };
  if (beyond <= coming(need)) return wait;
  const sleeping = deployment.instances.find((each) => each.state === 'paused' && hosts.reaches(each));
  if (sleeping) return { kind: 'resume', instanceId: sleeping.id };
  const scaleOut = unclaimed > 0 || deployment.instances.some(({ state }) => servesOrWill.has(state));
  const other = hosts.of(need);
  if (other?.problem) return scaleOut ? wait : { kind: 'refuse', error: unreachable(other.problem) };
  const { breaker } = deployment;
  const backoffMs = backoffLeftMs(breaker, now);
  if (breaker && backoffMs > 0) {
    if (scaleOut) return wait;
    // What failed beside an instance that served says nothing about the first one.
    if (!breaker.scaleOut) return refuse(breaker.code, breaker.message, backoffMs);
  }
  if (vacancies(deployment, app, now) <= unclaimed) return wait;
  return other ? { kind: 'boot', scaleOut, at: other.host } : { kind: 'boot', scaleOut };
}

const unreachableRetryS = 10;

function unreachable({ message, cause }: NonNullable<BootHost['problem']>): RequestError {
  return new RequestError('boot_failed', message, { retryAfterS: unreachableRetryS, cause });
}

function refuse(code: 'boot_failed' | 'boot_timeout', cause: string, backoffMs: number): NextStep {
  const retryAfterS = Math.ceil(backoffMs / 1000);
  return { kind: 'refuse', error: new RequestError(code, undefined, { retryAfterS, cause }) };
}

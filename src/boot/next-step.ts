import type { App } from '../model/app.js';
import { backoffLeftMs } from '../model/breaker.js';
import { mayBoot, type Deployment } from '../model/deployment.js';
import { RequestError } from '../model/errors.js';

/** What to do for requests that wait: use an instance, boot one, wait for a change, or tell them why not. */
export type NextStep =
  | { readonly kind: 'use'; readonly instanceId: string }
  | { readonly kind: 'boot' }
  | { readonly kind: 'wait' }
  | { readonly kind: 'refuse'; readonly error: RequestError };

/** Decides from what is known; pure. `used` holds the instances this node uses already, all of them full. */
export function nextStep(deployment: Deployment, app: App, used: ReadonlySet<string>, now: number): NextStep {
  const fresh = deployment.instances.find(({ id, state }) => state === 'ready' && !used.has(id));
  if (fresh) return { kind: 'use', instanceId: fresh.id };
  if (deployment.instances.some(({ state }) => state === 'ready' || state === 'booting')) return { kind: 'wait' };
  const backoffMs = backoffLeftMs(deployment.breaker, now);
  if (deployment.breaker && backoffMs > 0) {
    const { code, message } = deployment.breaker;
    const retryAfterS = Math.ceil(backoffMs / 1000);
    return { kind: 'refuse', error: new RequestError(code, undefined, { retryAfterS, cause: message }) };
  }
  return mayBoot(deployment, app, now) ? { kind: 'boot' } : { kind: 'wait' };
}

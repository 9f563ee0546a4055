import type { App } from '../../src/model/app.js';
import { type Deployment, findInstance, standing } from '../../src/model/deployment.js';
import { type InstanceState, isSuspended, transitions } from '../../src/model/instance.js';
import { bootHostOf } from '../../src/model/pin.js';
import { epoch } from './sim-process.js';

export interface Violation {
  readonly guarantee: 'G1' | 'G2' | 'G3' | 'G4' | 'G5' | 'G6' | 'G7' | 'G8' | 'overlap' | 'pause' | 'scale.min' | 'pin';
  readonly at: number;
  readonly what: string;
}

export interface WriteContext {
  readonly now: number;
  /** The most that scale.max was lately: a claim may rest on what its writer has read. */
  readonly scaleMax: number;
  /** How far wall clocks are apart at most. */
  readonly clockErrorMs: number;
  /** The store has lost acknowledged writes lately: G1 to G3 may be broken for a while. */
  readonly isHealing: boolean;
}

/** What must be true of each write of a deployment. */
export function judgeWrite(
  app: App | undefined,
  before: Deployment,
  after: Deployment,
  context: WriteContext,
): Violation[] {
  const violations: Violation[] = [];
  const { now, scaleMax, isHealing } = context;
  const note = (guarantee: Violation['guarantee'], what: string) => void violations.push({ guarantee, at: now, what });
  for (const instance of after.instances) {
    const old = findInstance(before, instance.id);
    if (!old && instance.state === 'booting') {
      const home = app && bootHostOf(before, app);
      if (home !== undefined && instance.host !== home)
        note('pin', `${instance.id} is to boot on ${instance.host}, its data is on ${home}`);
      const others = standing(after).length;
      if (others > scaleMax && !isHealing)
        note(scaleMax === 1 ? 'G1' : 'G3', `${others} instances of ${after.app} stand, scale.max is ${scaleMax}`);
      if (app?.overlap === false && after.instances.length > 1 && !isHealing)
        note('overlap', `${after.app} may not run twice, and is booted beside another instance`);
      const counted = after.instances.filter(({ end }) => !isOverdue(end?.since, app, context)).length;
      if (counted > scaleMax + 1 && !isHealing) note('G3', `${counted} instances of ${after.app} with those that end`);
    }
    if (old && !reachable(old.state, instance.state)) {
      note('G2', `${instance.id} went from ${old.state} to ${instance.state}`);
    }
    if (isSuspended(instance) && Object.keys(instance.users).length > 0) {
      note('pause', `${instance.id} is ${instance.state} while ${Object.keys(instance.users).join()} uses it`);
    }
    if (instance.state === 'terminating' && Object.keys(instance.users).length > 0) {
      note('G2', `${instance.id} is terminated while ${Object.keys(instance.users).join()} uses it`);
    }
  }
  return violations;
}

function isOverdue(since: number | undefined, app: App | undefined, { now, clockErrorMs }: WriteContext): boolean {
  if (since === undefined || !app) return false;
  return epoch + now + clockErrorMs >= since + app.drainTimeoutMs + 2 * app.stopTimeoutMs;
}

/** One write may take several steps of the table at once. */
function reachable(from: InstanceState, to: InstanceState, seen: readonly InstanceState[] = []): boolean {
  if (from === to) return true;
  return transitions[from].some(
    (next) => next !== 'removed' && !seen.includes(next) && reachable(next, to, [...seen, from]),
  );
}

import type { Violation } from './guarantees.js';
import { type HistoryOptions, runHistory } from './history.js';
import type { Action, Script } from './script.js';

interface Failure {
  readonly script: Script;
  readonly violation: Violation;
}

/** Runs spent on making a script shorter. */
const maxRuns = 600;
/** Other orders tried for a shorter script, since leaving something out moves everything behind it. */
const seedsPerTry = 3;

/**
 * The shortest script found that breaks the same guarantee: without actions, nodes and apps that it does not need, with
 * smaller herds and rounder times. The script given fails as it is.
 */
export async function shrink(
  script: Script,
  violations: readonly Violation[],
  options: HistoryOptions = {},
): Promise<Failure> {
  const [violation] = violations;
  if (!violation) throw new Error('this history breaks nothing');
  let best: Failure = { script, violation };
  let runs = 0;
  const fails = async (candidate: Script): Promise<boolean> => {
    for (let attempt = 0; attempt < seedsPerTry && runs < maxRuns; attempt += 1) {
      runs += 1;
      const seed = attempt === 0 ? candidate.seed : `${script.seed}.${runs}`;
      const tried = { ...candidate, seed };
      const result = await runHistory(tried, options);
      const same = result.violations.find(({ guarantee }) => guarantee === violation.guarantee);
      if (same) {
        best = { script: tried, violation: same };
        return true;
      }
    }
    return false;
  };
  let before: string;
  do {
    before = JSON.stringify(best.script);
    await withoutActions(() => best.script, fails);
    await withoutNodesAndApps(() => best.script, fails);
    await simpler(() => best.script, fails);
  } while (before !== JSON.stringify(best.script));
  return best;
}

type Fails = (candidate: Script) => Promise<boolean>;

/** Leaves out half of the actions, then quarters, down to single ones. */
async function withoutActions(current: () => Script, fails: Fails): Promise<void> {
  for (let size = Math.ceil(current().actions.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let from = 0; from < current().actions.length;) {
      const script = current();
      const actions = script.actions.filter((_, index) => index < from || index >= from + size);
      if (!(await fails({ ...script, actions }))) from += size;
    }
  }
}

async function withoutNodesAndApps(current: () => Script, fails: Fails): Promise<void> {
  for (let node = current().nodes.length - 1; node >= 0 && current().nodes.length > 1; node -= 1) {
    const script = current();
    if (script.actions.some((action) => 'node' in action && action.node === node)) continue;
    const actions = script.actions.map((action) =>
      'node' in action && action.node > node ? { ...action, node: action.node - 1 } : action,
    );
    await fails({ ...script, actions, nodes: script.nodes.filter((_, index) => index !== node) });
  }
  const { apps, actions } = current();
  const last = apps.length - 1;
  const isUsed = actions.some((action) => 'app' in action && action.app === last);
  if (last > 0 && !isUsed) await fails({ ...current(), apps: apps.slice(0, last) });
}

async function simpler(current: () => Script, fails: Fails): Promise<void> {
  for (let index = 0; index < current().actions.length; index += 1) {
    for (const change of simplifications) {
      const script = current();
      const action = script.actions[index] as Action;
      const changed = change(action);
      if (JSON.stringify(changed) === JSON.stringify(action)) continue;
      const actions = script.actions.with(index, changed).toSorted((a, b) => a.at - b.at);
      await fails({ ...script, actions });
    }
  }
}

const simplifications: readonly ((action: Action) => Action)[] = [
  (action) => (action.do === 'herd' ? { ...action, size: Math.ceil(action.size / 2) } : action),
  (action) => {
    if (!('patienceMs' in action)) return action;
    const { patienceMs: _left, ...rest } = action;
    return rest as Action;
  },
  (action) => ('holdMs' in action && action.holdMs > 0 ? { ...action, holdMs: 0 } : action),
  (action) => ({ ...action, at: Math.round(action.at / 1_000) * 1_000 }),
  (action) => ({ ...action, at: Math.round(action.at / 100) * 100 }),
];

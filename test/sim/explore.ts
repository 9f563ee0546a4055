import { generate } from './generate.js';
import { type HistoryOptions, type HistoryResult, runHistory } from './history.js';
import { printScript, type Script } from './script.js';
import { shrink } from './shrink.js';

export interface Finding {
  readonly seed: string;
  readonly script: Script;
  readonly result: HistoryResult;
}

/** Runs `count` histories from seed `first` on; stops at the first that breaks a guarantee. */
export async function explore(
  first: number,
  count: number,
  options: HistoryOptions = {},
  scriptOf: (seed: string) => Script = generate,
): Promise<Finding | undefined> {
  for (let seed = first; seed < first + count; seed += 1) {
    const script = scriptOf(String(seed));
    const result = await runHistory(script, options);
    if (result.violations.length > 0) return { seed: String(seed), script, result };
  }
  return undefined;
}

/** The finding as a person wants it: seed, what was broken, and the shortest script that still breaks it. */
export async function report({ seed, script, result }: Finding, options: HistoryOptions = {}): Promise<string> {
  const { script: shortest, violation } = await shrink(script, result.violations, options);
  return [
    `seed ${seed}: ${violation.guarantee} at ${violation.at} ms: ${violation.what}`,
    `the shortest script that breaks it (run it with SIM_SEED=${seed}, or paste it into test/sim/replays.test.ts):`,
    printScript(shortest),
  ].join('\n');
}

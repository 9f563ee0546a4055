import { aftermath } from './aftermath.js';
import type { Violation } from './guarantees.js';
import { play } from './play.js';
import type { Script } from './script.js';
import { type Plant, World } from './world.js';

export interface HistoryOptions {
  readonly plant?: Plant;
  readonly trace?: (line: string) => void;
}

export interface HistoryResult {
  readonly violations: readonly Violation[];
  /** Changes with the least difference between two runs. */
  readonly fingerprint: string;
  readonly steps: number;
  readonly requests: number;
  readonly answered: number;
}

/** Lives one script through, mends everything, and says which guarantees did not hold. */
export async function runHistory(script: Script, { plant = {}, trace }: HistoryOptions = {}): Promise<HistoryResult> {
  const world = new World({ script, plant, trace });
  const onRejection = (error: unknown) => {
    world.judge.note(
      'G5',
      `a promise was rejected and nobody heard: ${error instanceof Error ? error.stack : String(error)}`,
    );
  };
  process.prependListener('unhandledRejection', onRejection);
  try {
    for (const index of script.nodes.keys()) world.start(index);
    await play(world, script);
    await aftermath(world);
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  const endings = world.requests.map(({ plan, endings }) => [plan.id, endings]);
  return {
    violations: world.judge.violations,
    fingerprint: JSON.stringify([world.timeline.steps, world.timeline.now, endings]),
    steps: world.timeline.steps,
    requests: world.requests.length,
    answered: world.requests.filter(({ endings: [first] }) => first?.status === 200).length,
  };
}

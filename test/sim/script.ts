import type { BootPlan } from './containers.js';

/** What one history is made of. The seed decides every order and every length of time that is not written here. */
export interface Script {
  readonly seed: string;
  readonly nodes: readonly NodePlan[];
  readonly apps: readonly AppPlan[];
  readonly actions: readonly Action[];
}

export interface NodePlan {
  readonly host: string;
  readonly wallErrorMs: number;
  readonly bootSlots: number;
}

export interface AppPlan {
  /** None unless told. */
  readonly min?: number;
  readonly max: number;
  /** Whether an instance may run beside the one that it replaces; true unless told. */
  readonly overlap?: boolean;
  readonly concurrency: number;
  readonly idleTtlMs: number;
  readonly maxLifetimeMs: number;
  /** Never unless told. */
  readonly pauseAfterMs?: number;
  /** It mounts a directory of the machine. */
  readonly local?: boolean;
}

/** `at`: milliseconds since the beginning. Nodes and apps by their number. */
export type Action = { readonly at: number } & (
  | ({ readonly do: 'request'; readonly node: number; readonly app: number; readonly kind: 'http' | 'upgrade' } & Hold)
  | ({ readonly do: 'herd'; readonly app: number; readonly size: number } & Hold)
  | { readonly do: 'freeze'; readonly node: number; readonly forMs: number }
  | { readonly do: 'kill'; readonly node: number; readonly forMs: number }
  | { readonly do: 'close'; readonly node: number; readonly forMs: number }
  | { readonly do: 'step clock'; readonly node: number; readonly byMs: number }
  | { readonly do: 'partition'; readonly node: number; readonly forMs: number; readonly reset: boolean }
  | { readonly do: 'store down'; readonly forMs: number }
  | { readonly do: 'store frozen'; readonly forMs: number }
  | { readonly do: 'store slow'; readonly forMs: number; readonly byMs: number }
  | { readonly do: 'store lossy'; readonly forMs: number; readonly probability: number }
  | { readonly do: 'store restarted'; readonly empty: boolean }
  | { readonly do: 'store failover'; readonly lagMs: number }
  | { readonly do: 'engine down'; readonly host: string; readonly forMs: number }
  | { readonly do: 'engine slow'; readonly host: string; readonly forMs: number; readonly byMs: number }
  /** The machine loses its power, and gets it back. */
  | { readonly do: 'host lost'; readonly host: string; readonly forMs: number }
  | { readonly do: 'boot'; readonly host: string; readonly plan: BootPlan }
  | { readonly do: 'crash'; readonly app: number }
  | { readonly do: 'change app'; readonly app: number; readonly plan: Partial<AppPlan> }
  | { readonly do: 'new revision'; readonly app: number }
  | { readonly do: 'remove app'; readonly app: number; readonly forMs: number }
);

interface Hold {
  readonly holdMs: number;
  /** The client goes away after this long. */
  readonly patienceMs?: number;
}

/** One line per action, to be read by people and pasted into a replay test. */
export function printScript(script: Script): string {
  const { actions, ...rest } = script;
  const lines = actions.map((action) => `    ${JSON.stringify(action)},`);
  const head = Object.entries(rest).map(([key, value]) => `  ${key}: ${JSON.stringify(value)},`);
  return ['{', ...head, '  actions: [', ...lines, '  ],', '}'].join('\n');
}

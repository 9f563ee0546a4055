import type { BootPlan } from './containers.js';
import { Random } from './random.js';
import type { Action, AppPlan, NodePlan, Script } from './script.js';

/** How long things go on before everything is mended, in milliseconds. */
const horizonMs = 60_000;

/** A random script. Some have one node and one fault, some have everything at once. */
export function generate(seed: string): Script {
  const random = new Random(`script ${seed}`);
  const hosts = random.chance(0.3) ? ['a', 'b'] : ['a'];
  const nodes = Array.from({ length: random.pick([1, 1, 2, 2, 3]) }, () => nodePlan(random, hosts));
  // Of its own, so that the histories without pauses stay as they were.
  const pauses = new Random(`pauses ${seed}`);
  const apps = Array.from({ length: random.pick([1, 1, 2]) }, () => ({ ...appPlan(random), ...pausePlan(pauses) }));
  const spanMs = random.pick([3_000, 15_000, horizonMs]);
  const actions = [
    ...Array.from({ length: random.between(2, 20) }, () => traffic(random, spanMs, nodes.length, apps.length)),
    ...Array.from({ length: random.pick([0, 1, 1, 2, 2, 3, 5, 8]) }, () => fault(random, spanMs, nodes, apps.length)),
  ];
  return { seed, nodes, apps, actions: actions.toSorted((a, b) => a.at - b.at) };
}

function nodePlan(random: Random, hosts: readonly string[]): NodePlan {
  return { host: random.pick(hosts), wallErrorMs: random.pick([0, 0, 700, -700]), bootSlots: random.pick([1, 4]) };
}

function appPlan(random: Random): AppPlan {
  // What may not run beside another runs once.
  const overlap = random.chance(0.8);
  const max = overlap ? random.pick([1, 1, 1, 2, 3]) : 1;
  return {
    ...(random.chance(0.2) ? { min: random.between(1, max) } : {}),
    max,
    ...(overlap ? {} : { overlap }),
    concurrency: random.pick([1, 2, 100]),
    idleTtlMs: random.pick([2_000, 6_000, 20_000]),
    maxLifetimeMs: random.pick([12_000, 30_000, 600_000]),
  };
}

function pausePlan(random: Random): Pick<AppPlan, 'pauseAfterMs'> {
  return random.chance(0.5) ? { pauseAfterMs: random.pick([1, 300, 1_500]) } : {};
}

function traffic(random: Random, spanMs: number, nodes: number, apps: number): Action {
  const app = random.between(0, apps - 1);
  const at = random.between(0, spanMs);
  const hold = {
    holdMs: random.pick([0, 20, 300, 3_000, 12_000]),
    ...(random.chance(0.15) ? { patienceMs: random.between(0, 4_000) } : {}),
  };
  if (random.chance(0.2)) return { at, do: 'herd', app, size: random.between(2, 12), ...hold };
  const kind = random.chance(0.15) ? 'upgrade' : 'http';
  return { at, do: 'request', node: random.between(0, nodes - 1), app, kind, ...hold };
}

function fault(random: Random, spanMs: number, nodes: readonly NodePlan[], apps: number): Action {
  const at = random.between(0, spanMs);
  const node = random.between(0, nodes.length - 1);
  const { host } = random.pick(nodes);
  const app = random.between(0, apps - 1);
  const forMs = random.pick([200, 1_000, 3_000, 8_000, 13_000, 50_000]);
  const faults: readonly (() => Action)[] = [
    () => ({ at, do: 'freeze', node, forMs }),
    () => ({ at, do: 'kill', node, forMs }),
    () => ({ at, do: 'close', node, forMs }),
    () => ({ at, do: 'step clock', node, byMs: random.pick([-3_000, 3_000]) }),
    () => ({ at, do: 'partition', node, forMs, reset: random.chance(0.5) }),
    () => ({ at, do: 'store down', forMs }),
    () => ({ at, do: 'store frozen', forMs }),
    () => ({ at, do: 'store slow', forMs, byMs: random.pick([30, 900, 2_500]) }),
    () => ({ at, do: 'store lossy', forMs, probability: random.pick([0.02, 0.2, 0.5]) }),
    () => ({ at, do: 'store restarted', empty: random.chance(0.6) }),
    () => ({ at, do: 'store failover', lagMs: random.pick([5, 100, 1_000, 5_000]) }),
    () => ({ at, do: 'engine down', host, forMs }),
    () => ({ at, do: 'engine slow', host, forMs, byMs: random.pick([500, 5_000]) }),
    () => ({ at, do: 'host lost', host, forMs }),
    () => ({ at, do: 'boot', host, plan: badBoot(random) }),
    () => ({ at, do: 'boot', host, plan: badBoot(random) }),
    () => ({ at, do: 'crash', app }),
    () => ({ at, do: 'crash', app }),
    () => ({ at, do: 'change app', app, plan: appChange(random) }),
    () => ({ at, do: 'new revision', app }),
    () => ({ at, do: 'remove app', app, forMs }),
  ];
  return random.pick(faults)();
}

function appChange(random: Random): Partial<AppPlan> {
  return random.pick<Partial<AppPlan>>([
    { max: random.between(1, 3) },
    { concurrency: random.pick([1, 5]) },
    { idleTtlMs: random.pick([1_000, 10_000]) },
    { maxLifetimeMs: random.pick([12_000, 60_000]) },
  ]);
}

function badBoot(random: Random): BootPlan {
  const createMs = random.between(1, 400);
  return random.pick<BootPlan>([
    { kind: 'refused', createMs },
    { kind: 'late', createMs: random.between(100, 25_000) },
    { kind: 'good', createMs, listenMs: 600_000 },
    { kind: 'good', createMs: random.between(1_000, 12_000), listenMs: 10 },
    { kind: 'good', createMs, listenMs: 300, livesMs: random.between(0, 300) },
    { kind: 'good', createMs, listenMs: 100, livesMs: random.between(100, 6_000) },
  ]);
}

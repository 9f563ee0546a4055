import { nameOf } from './apps.js';
import type { World } from './world.js';

/** Two periods of the reconciler, and the time until a node may judge. */
const reconcileLimitMs = 2 * 60_000 + 30_000;
/** Queue timeout, boot timeout, five attempts, the longest hold. */
const answerLimitMs = 60_000;
/** Longest back-off after failed boots, and a boot. */
const serveLimitMs = 90_000;
/** Longest idle TTL, the lazy release before it, the drain and the stop. */
const emptyLimitMs = 120_000 + reconcileLimitMs;
const lookEveryMs = 500;
const lateMs = 10_000;

/** Mends everything and waits: what the guarantees promise for the end has to come true in its time. */
export async function aftermath(world: World): Promise<void> {
  mend(world);
  await eventually(world, answerLimitMs, () => unanswered(world), 'G5');
  for (const request of world.requests) {
    if (request.endings.length > 1)
      world.judge.note('G5', `request ${request.plan.id} ended ${request.endings.length} times`);
  }
  await eventually(world, reconcileLimitMs, () => inconsistent(world), 'G4');
  // A removal that a process which died had put into a slow store may come behind what the files say now: as if removed elsewhere.
  await world.timeline.run(world.timeline.now + lateMs);
  world.reload();
  await everyNodeServes(world);
  await eventually(world, serveLimitMs, () => tooFew(world), 'scale.min');
  // What processes that died put into a slow store has arrived by then: here no record is older than another.
  await world.timeline.run(world.timeline.now + lateMs);
  world.apps.wantNone();
  world.reload();
  await eventually(world, emptyLimitMs, () => left(world), 'G6');
}

/** Faults that go on end now; who is frozen thaws, who is dead starts. */
function mend(world: World): void {
  const { storeFaults, engines } = world;
  world.trace('> everything is mended');
  world.apps.restoreAll();
  Object.assign(storeFaults, { down: false, frozen: false, slowMs: 0, lossy: 0 });
  for (const { faults } of engines.values()) {
    Object.assign(faults, { down: false, slowMs: 0, badBoots: 0 });
    faults.plans.length = 0;
  }
  for (const link of world.partitioned) link.heal(true);
  world.partitioned.clear();
  for (const { node, process } of world.lives) {
    process.thaw();
    for (const link of node.links) link.heal(true);
  }
  for (const index of world.places.keys()) world.start(index);
  world.reload();
}

async function eventually(
  { timeline, judge }: World,
  limitMs: number,
  problem: () => string | undefined,
  guarantee: 'G4' | 'G5' | 'G6' | 'scale.min',
): Promise<void> {
  const end = timeline.now + limitMs;
  while (timeline.now < end && judge.violations.length === 0) {
    if (problem() === undefined) return;
    await timeline.run(timeline.now + lookEveryMs);
  }
  const still = problem();
  if (still !== undefined && judge.violations.length === 0) judge.note(guarantee, `after ${limitMs} ms: ${still}`);
}

function unanswered({ requests }: World): string | undefined {
  const open = requests.filter(({ endings }) => endings.length === 0);
  return open.length === 0 ? undefined : `no answer to ${open.map(({ plan }) => plan.id).join()}`;
}

/** What CMDB and machines disagree on, or what is neither running nor gone. */
function inconsistent({ store, containers, engines }: World): string | undefined {
  if ([...engines.values()].some((engine) => engine.containers.pending > 0)) return 'a boot is under way at an engine';
  const instances = store.deployments.flatMap((deployment) => deployment.instances);
  const known = new Map(instances.map((instance) => [instance.id, instance]));
  for (const { id, running } of containers) {
    if (!known.has(id)) return `${id} is in no document and ${running ? 'runs' : 'is not removed'}`;
  }
  const there = new Map(containers.map((container) => [container.id, container]));
  for (const { id, state } of instances) {
    if (state !== 'ready' && state !== 'paused') return `${id} is still ${state}`;
    if (!there.get(id)?.running) return `${id} is written as ${state} and does not run`;
    if (state === 'ready' && there.get(id)?.frozen) return `${id} is written as ready and is frozen`;
  }
  return undefined;
}

async function everyNodeServes(world: World): Promise<void> {
  const { timeline, judge } = world;
  for (const node of world.places.keys()) {
    for (const app of world.apps.indices) {
      const end = timeline.now + serveLimitMs;
      for (;;) {
        if (judge.violations.length > 0) return;
        const request = world.send(node, app, 'http', 10);
        await timeline.run(timeline.now + answerLimitMs, () => request.endings.length > 0);
        const [ending] = request.endings;
        if (ending?.status === 200) break;
        if (!ending || timeline.now > end) {
          const answer = ending ? `${ending.status} ${ending.code}` : 'no answer';
          judge.note('G5', `node ${node} does not serve ${nameOf(app)} any more: ${answer}`);
          return;
        }
        await timeline.run(timeline.now + 1_000);
      }
    }
  }
}

/** What scale.min keeps ready without a request. */
function tooFew({ store, apps }: World): string | undefined {
  for (const index of apps.indices) {
    const { name = '', scale } = apps.get(index) ?? {};
    const ready = store.record(name)?.deployment.instances.filter(({ state }) => state === 'ready').length ?? 0;
    if (ready < (scale?.min ?? 0)) return `${ready} instances of ${name} are ready, scale.min is ${scale?.min}`;
  }
  return undefined;
}

/** Nobody asks for anything any more: everything falls idle, and nothing may be left. */
function left({ store, containers, lives }: World): string | undefined {
  for (const { node, forwarder } of lives) {
    if (forwarder.underWay.size > 0) return `${forwarder.underWay.size} requests are still under way`;
    for (const local of node.house.apps.values()) {
      if (local.waiting > 0) return `${local.waiting} requests of ${local.name} still wait`;
      for (const use of local.uses.values()) {
        if (use.inflight > 0) return `${use.inflight} requests are counted at ${use.instanceId}`;
      }
      return `a node still holds on to ${local.name}`;
    }
  }
  const [instance] = store.deployments.flatMap(({ instances }) => instances);
  if (instance) {
    return `${instance.id} is still ${instance.state}, used by ${Object.keys(instance.users).join() || 'nobody'}`;
  }
  return containers[0] && `the container ${containers[0].id} is left`;
}

import type { Action, Script } from './script.js';
import type { World } from './world.js';

/** Nodes are up and the apps applied when the actions begin. */
const beginMs = 500;

/** Carries the script's actions out at their times; every fault ends by itself, or in the aftermath. */
export async function play(world: World, { actions }: Script): Promise<void> {
  for (const action of actions) world.timeline.after(beginMs + action.at, undefined, () => act(world, action));
  await world.timeline.run(beginMs + Math.max(0, ...actions.map(({ at }) => at)) + 1);
}

function act(world: World, action: Action): void {
  const { timeline, store, storeFaults, judge, engines } = world;
  const later = (delayMs: number, run: () => void) => timeline.after(delayMs, undefined, run);
  world.trace(`> ${JSON.stringify(action)}`);
  switch (action.do) {
    case 'request':
      world.send(action.node, action.app, action.kind, action.holdMs, action.patienceMs);
      return;
    case 'herd':
      for (let index = 0; index < action.size; index += 1) {
        world.send(index % world.places.length, action.app, 'http', action.holdMs, action.patienceMs);
      }
      return;
    case 'freeze': {
      const process = world.places[action.node]?.life?.process;
      process?.freeze();
      later(action.forMs, () => process?.thaw());
      return;
    }
    case 'kill':
      world.kill(action.node);
      later(action.forMs, () => world.start(action.node));
      return;
    case 'close':
      world.close(action.node);
      later(action.forMs, () => world.start(action.node));
      return;
    case 'step clock': {
      const place = world.places[action.node];
      if (!place) return;
      place.wallErrorMs += action.byMs;
      if (place.life) place.life.process.wallErrorMs = place.wallErrorMs;
      return;
    }
    case 'partition': {
      const life = world.places[action.node]?.life;
      if (!life) return;
      for (const link of life.node.links) {
        link.partition();
        world.partitioned.add(link);
      }
      judge.cutOff(life.process.pid);
      later(action.forMs, () => {
        judge.cutOff(life.process.pid);
        for (const link of life.node.links) if (world.partitioned.delete(link)) link.heal(!action.reset);
      });
      return;
    }
    case 'store down':
      storeFaults.down = true;
      allCutOff(world);
      later(action.forMs, () => {
        allCutOff(world);
        storeFaults.down = false;
      });
      return;
    case 'store frozen':
      storeFaults.frozen = true;
      allCutOff(world);
      later(action.forMs, () => {
        allCutOff(world);
        storeFaults.frozen = false;
        for (const { node } of world.lives) for (const link of node.links) link.flush();
      });
      return;
    case 'store slow':
      storeFaults.slowMs = action.byMs;
      allCutOff(world);
      later(action.forMs, () => {
        allCutOff(world);
        storeFaults.slowMs = 0;
      });
      return;
    case 'store lossy':
      storeFaults.lossy = action.probability;
      allCutOff(world);
      later(action.forMs, () => {
        allCutOff(world);
        storeFaults.lossy = 0;
      });
      return;
    case 'store restarted':
      if (action.empty) judge.storeLostWrites();
      store.failOver(action.empty ? undefined : store.replicate());
      return;
    case 'store failover': {
      const replica = store.replicate();
      later(action.lagMs, () => {
        judge.storeLostWrites();
        store.failOver(replica);
      });
      return;
    }
    case 'engine down': {
      const faults = engines.get(action.host)?.faults;
      if (faults) faults.down = true;
      later(action.forMs, () => void (faults && (faults.down = false)));
      return;
    }
    case 'engine slow': {
      const faults = engines.get(action.host)?.faults;
      if (faults) faults.slowMs = action.byMs;
      later(action.forMs, () => void (faults && (faults.slowMs = 0)));
      return;
    }
    case 'host lost': {
      const there = [...world.places.keys()].filter((index) => world.places[index]?.host === action.host);
      for (const index of there) world.kill(index);
      engines.get(action.host)?.containers.losePower();
      later(action.forMs, () => {
        for (const index of there) world.start(index);
      });
      return;
    }
    case 'boot':
      engines.get(action.host)?.faults.plans.push(action.plan);
      return;
    case 'crash': {
      const victim = world.containers.find(({ app, running }) => running && app === `app${action.app}`);
      if (victim) for (const { containers } of engines.values()) containers.die(victim, 'signal SIGKILL');
      return;
    }
    case 'change app':
      world.apps.change(action.app, action.plan);
      return world.reload();
    case 'new revision':
      world.apps.newRevision(action.app);
      return world.reload();
    case 'remove app':
      world.apps.remove(action.app);
      world.reload();
      later(action.forMs, () => {
        world.apps.restore(action.app);
        world.reload();
      });
  }
}

function allCutOff({ lives, judge }: World): void {
  for (const { process } of lives) judge.cutOff(process.pid);
}

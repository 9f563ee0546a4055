import t from 'tap';
import type { Deployment } from '../../src/model/deployment.js';
import { explore } from './explore.js';
import { Random } from './random.js';
import type { Script } from './script.js';
import type { SimCmdb } from './sim-cmdb.js';
import type { Plant } from './world.js';

/** A simulator that cannot fail proves nothing: each of these bugs was made on purpose, and is found. */
const plants: readonly {
  readonly bug: string;
  readonly plant: Plant;
  readonly found: RegExp;
  readonly scriptOf?: (seed: string) => Script;
}[] = [
  {
    bug: 'a compare-and-set that lets old writes pass',
    plant: { passesOldWrites: true },
    found: /^G[1-6]/,
  },
  {
    bug: 'a terminator that does not wait for the users of an instance',
    plant: { disguise: forgetUsersOfDraining },
    found: /^G2/,
  },
  {
    bug: 'a dispatcher that sends without looking at its own session',
    plant: { prepare: ({ house }) => void (house.session.renewIfFrozen = () => true) },
    found: /^G2/,
    scriptOf: frozenForLong,
  },
  {
    bug: 'a runtime that confirms the end of a container before it has ended',
    plant: { confirmsTooEarly: true },
    found: /^G4/,
  },
  {
    bug: 'a release of a use that is never written',
    plant: { disguise: neverRelease },
    found: /^G[46]/,
  },
  {
    bug: 'a node that goes on with a dead instance, on a machine that gives a freed address away at once',
    plant: { addressRestMs: 0, prepare: ({ house }) => void (house.uses.end = () => {}) },
    found: /^G8/,
    scriptOf: crashBehindPartition,
  },
  {
    bug: 'a node that begins to use an instance that is being paused',
    plant: { disguise: useWhilePausing },
    found: /^pause/,
    scriptOf: pausedAgainAndAgain,
  },
  {
    bug: 'a resume that stays under way when the node that began it dies',
    plant: { disguise: neverSettle },
    found: /^G[45]/,
    scriptOf: diesWhileItResumes,
  },
];

t.setTimeout(3_600_000);

for (const { bug, plant, found, scriptOf } of plants) {
  t.test(`it finds ${bug}`, { timeout: 0 }, async (t) => {
    const finding = await explore(1, 3_000, { plant }, scriptOf);
    t.ok(finding, 'a history breaks a guarantee');
    const [violation] = finding?.result.violations ?? [];
    t.match(`${violation?.guarantee} ${violation?.what}`, found);
  });
}

/** A node that hears nothing goes on with an instance whose address another app has got by now. */
function crashBehindPartition(seed: string): Script {
  const nodes = [0, 1].map(() => ({ host: 'a', wallErrorMs: 0, bootSlots: 4 }));
  const app = { max: 1, concurrency: 100, idleTtlMs: 20_000, maxLifetimeMs: 600_000 };
  const request = { do: 'request', kind: 'http', holdMs: 300 } as const;
  return {
    ...{ seed, nodes, apps: [app, app] },
    actions: [
      { ...request, at: 0, node: 0, app: 0 },
      { at: 3_000, do: 'partition', node: 0, forMs: 20_000, reset: false },
      { at: 4_000, do: 'crash', app: 0 },
      { ...request, at: 6_000, node: 1, app: 1 },
      { ...request, at: 9_000, node: 0, app: 0 },
    ],
  };
}

/** Requests come in every moment of a pause. */
function pausedAgainAndAgain(seed: string): Script {
  const nodes = [0, 1].map(() => ({ host: 'a', wallErrorMs: 0, bootSlots: 4 }));
  const apps = [{ max: 1, concurrency: 100, idleTtlMs: 20_000, maxLifetimeMs: 600_000, pauseAfterMs: 1 }];
  const random = new Random(`pauses ${seed}`);
  const request = { do: 'request', app: 0, kind: 'http', holdMs: 0 } as const;
  const actions = Array.from({ length: 60 }, (_, index) => ({
    ...request,
    at: index * 300 + random.between(0, 300),
    node: index % 2,
  }));
  return { seed, nodes, apps, actions };
}

/** An engine takes its time to resume an instance, and the node that waits for it is killed. */
function diesWhileItResumes(seed: string): Script {
  const nodes = [0, 1].map(() => ({ host: 'a', wallErrorMs: 0, bootSlots: 4 }));
  const apps = [{ max: 1, concurrency: 100, idleTtlMs: 600_000, maxLifetimeMs: 6_000_000, pauseAfterMs: 300 }];
  const request = { do: 'request', app: 0, kind: 'http', holdMs: 0 } as const;
  return {
    ...{ seed, nodes, apps },
    actions: [
      { ...request, at: 0, node: 0 },
      { at: 14_000, do: 'engine slow', host: 'a', byMs: 5_000, forMs: 8_000 },
      { ...request, at: 15_000, node: 1 },
      { at: 15_200, do: 'kill', node: 1, forMs: 1_000 },
    ],
  };
}

/** A node is frozen until the others have given it up, and there is a request for it when it thaws. */
function frozenForLong(seed: string): Script {
  const nodes = [0, 1].map(() => ({ host: 'a', wallErrorMs: 0, bootSlots: 4 }));
  const apps = [{ max: 1, concurrency: 100, idleTtlMs: 20_000, maxLifetimeMs: 30_000 }];
  const request = { do: 'request', app: 0, kind: 'http' } as const;
  return {
    ...{ seed, nodes, apps },
    actions: [
      { ...request, at: 0, node: 0, holdMs: 0 },
      { at: 1_000, do: 'freeze', node: 0, forMs: 110_000 },
      { ...request, at: 80_000, node: 0, holdMs: 300 },
      { ...request, at: 110_990, node: 0, holdMs: 300 },
    ],
  };
}

function forgetUsersOfDraining(cmdb: SimCmdb): SimCmdb {
  return changed(cmdb, (deployment) => ({
    ...deployment,
    instances: deployment.instances.map((each) => (each.state === 'draining' ? { ...each, users: {} } : each)),
  }));
}

/** What is written still has the users that were there before. */
function neverRelease(cmdb: SimCmdb): SimCmdb {
  const update = cmdb.update.bind(cmdb);
  cmdb.update = (app, change) =>
    update(app, (current, stored) => {
      const next = change(current, stored);
      if (next === current) return current;
      const instances = next.instances.map((each) => {
        const before = current.instances.find(({ id }) => id === each.id);
        return each.state === 'ready' && before ? { ...each, users: { ...before.users, ...each.users } } : each;
      });
      return { ...next, instances };
    });
  return cmdb;
}

/** Its client sees an instance that is being paused as ready. */
function useWhilePausing(cmdb: SimCmdb): SimCmdb {
  const asReady = (deployment: Deployment): Deployment => ({
    ...deployment,
    instances: deployment.instances.map((each) => (each.state === 'pausing' ? { ...each, state: 'ready' } : each)),
  });
  const find = cmdb.find.bind(cmdb);
  cmdb.find = async (query) => {
    const found = await find(query);
    return found && { ...found, deployment: asReady(found.deployment) };
  };
  const update = cmdb.update.bind(cmdb);
  cmdb.update = (app, change) =>
    update(app, (current, stored) => {
      const next = change(current, stored);
      if (next !== current) return next;
      // Only those that would register themselves gain by it.
      const seen = asReady(current);
      const used = change(seen, stored);
      return used.instances.some(({ users }) => Object.keys(users).length > 0) ? used : current;
    });
  return cmdb;
}

/** What is being resumed is never found to be left. */
function neverSettle(cmdb: SimCmdb): SimCmdb {
  const update = cmdb.update.bind(cmdb);
  cmdb.update = (app, change) =>
    update(app, (current, stored) => {
      const next = change(current, stored);
      const instances = next.instances.map((each) => {
        const before = current.instances.find(({ id }) => id === each.id);
        return before?.state === 'resuming' && each.state === 'paused' ? before : each;
      });
      return next === current ? current : { ...next, instances };
    });
  return cmdb;
}

/** The client of the store hands its callers something else than it has read. */
function changed(cmdb: SimCmdb, disguise: (deployment: Deployment) => Deployment): SimCmdb {
  const update = cmdb.update.bind(cmdb);
  cmdb.update = (app, change) =>
    update(app, (current, stored) => {
      const seen = disguise(current);
      const next = change(seen, stored);
      return next === seen ? current : next;
    });
  return cmdb;
}

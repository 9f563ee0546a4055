import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { Claim } from '../../src/boot/claim.js';
import { ClaimedBoots } from '../../src/boot/claimed-boots.js';
import type { LocalApp } from '../../src/uses/local-app.js';
import { LocalApps } from '../../src/uses/local-apps.js';
import { StoreHealth } from '../../src/membership/store-health.js';
import { OwnedInstances } from '../../src/uses/owned-instances.js';
import { Uses } from '../../src/uses/uses.js';
import type { AppRecord, Cmdb } from '../../src/cmdb/cmdb.js';
import { emptyDeployment } from '../../src/model/deployment.js';
import { RequestError } from '../../src/model/errors.js';
import type { Address } from '../../src/model/instance.js';
import type { BootOptions, Runtime } from '../../src/runtime/runtime.js';
import { testApp } from '../fixtures/app.js';
import { settle, VirtualClock } from '../fixtures/clock.js';

const app = testApp({ name: 'shop' });
const address = { host: '127.0.0.1', port: 1 };

/** A node whose runtime starts a container when it is told to. */
async function setUp(t: Test) {
  const clock = new VirtualClock();
  let writes = 0;
  let record: AppRecord = { app, removed: false, deployment: emptyDeployment('shop'), version: 'v0' };
  const store = { answers: true, onWrite: () => {} };
  const update: Cmdb['update'] = async (_app, change) => {
    const { deployment: before } = record;
    record = { ...record, deployment: change(before, app), version: `v${(writes += 1)}` };
    store.onWrite();
    if (!store.answers) throw new RequestError('cmdb_unavailable');
    return { ...record, before };
  };
  const apps = new LocalApps({ find: async () => record, update } as unknown as Cmdb);
  const session = {
    incarnation: 'me',
    ensureRegistered: async () => 'me',
    renewIfFrozen: () => true,
    isFormer: (name: string) => name !== session.incarnation,
    isOwn: (name: string) => name.startsWith('me'),
  };
  const logger = pino({ level: 'silent' });
  const health = new StoreHealth(10_000, clock);
  health.answered('one', 0);
  const node = { apps, session, store: health, clock, logger };
  const uses = new Uses({ ...node, onSeatFreed: () => {}, onEnded: () => {} });
  const container = { endsOnceReady: false, seen: 0 };
  let start = (): void => {};
  let begun = 0;
  const runtime = {
    name: 'process',
    boot: (_spec: unknown, { onPhase }: BootOptions) =>
      new Promise<Address>((resolve) => {
        begun += 1;
        start = () => {
          onPhase('start', 1);
          resolve(address);
        };
      }),
    watch: () => () => {},
    output: async () => '',
    inspect: async () => {
      container.seen += 1;
      // The first look finds it ready.
      return { state: container.endsOnceReady && container.seen > 1 ? 'gone' : 'running', listening: true };
    },
  } as unknown as Runtime;
  const owned = new OwnedInstances(apps, clock);
  const terminated: string[] = [];
  const boots = new ClaimedBoots({
    ...{ ...node, uses, owned, runtimes: new Map([['process', runtime]]), sight: { host: 'here' }, pins: false },
    randomBytes: (size) => Buffer.alloc(size, 7),
    probe: async () => true,
    settled: async () => {},
    terminate: (_app, id) => void terminated.push(id),
    onBoot: () => {},
  });
  const local = await apps.load('shop');
  if (!local) throw new Error('there is a shop');
  t.teardown(() => uses.releaseAll(0));
  return {
    ...{ boots, owned, clock, container, local, session, store, terminated },
    replaceStore: () => health.answered('two', clock.monotonic()),
    users: () => record.deployment.instances.flatMap(({ users }) => Object.keys(users)),
    start: () => start(),
    begun: () => begun,
    states: () => record.deployment.instances.map(({ state }) => state),
    loseInstances: () => void (record = { ...record, deployment: emptyDeployment('shop'), version: 'lost' }),
  };
}

async function claimed(boots: ClaimedBoots, local: LocalApp): Promise<Claim> {
  const claim = await boots.claim(local, 'first');
  if (!claim) throw new Error('nobody else boots');
  return claim;
}

/** A boot under way whose claim is lost by a store that was replaced. */
async function bootingOnLostClaim(t: Test) {
  const node = await setUp(t);
  const claim = await claimed(node.boots, node.local);
  const outcome = node.boots.carryOut(node.local, claim);
  await settle();
  node.loseInstances();
  return { ...node, outcome };
}

t.test('a claim is written before the runtime is called, and a success makes it ready and used', async (t) => {
  const { boots, local, start, states } = await setUp(t);
  const claim = await claimed(boots, local);
  t.same(states(), ['booting']);
  const outcome = boots.carryOut(local, claim);
  await settle();
  start();
  t.match(await outcome, { kind: 'ready' });
  t.same(states(), ['ready']);
  t.same([...local.uses.keys()], [claim.id]);
});

t.test(
  'a claim that was under way when the session was renewed is taken back, and nothing is booted on it',
  async (t) => {
    const { boots, local, session, store, states } = await setUp(t);
    store.onWrite = () => void (session.incarnation = 'me again');
    t.equal(await boots.claim(local, 'first'), undefined);
    t.same(states(), []);
  },
);

t.test('a claim that was being written when the node stopped is taken back', async (t) => {
  const { boots, local, store, states } = await setUp(t);
  store.onWrite = () => boots.abort(new RequestError('shutting_down'));
  t.equal(await boots.claim(local, 'first'), undefined);
  t.same(states(), []);
});

t.test('nothing is started on a claim of a node that has stopped', async (t) => {
  const { boots, local, begun, states, terminated } = await setUp(t);
  const claim = await claimed(boots, local);
  boots.abort(new RequestError('shutting_down'));
  const booting = boots.carryOut(local, claim);
  await settle();
  t.equal(begun(), 0);
  const outcome = await booting;
  if (outcome.kind !== 'failed') return t.fail(outcome.kind);
  t.match(outcome, { result: 'aborted', error: { code: 'shutting_down' } });
  await outcome.cleanedUp;
  t.same([states(), terminated], [['terminating'], [claim.id]]);
});

t.test('a boot that succeeds right after a replaced store lost its claim stands all the same', async (t) => {
  const { replaceStore, start, states, outcome } = await bootingOnLostClaim(t);
  replaceStore();
  start();
  t.match(await outcome, { kind: 'ready' });
  t.same(states(), ['ready'], 'there is no moment in which the store knows the container by nothing');
});

t.test('nor is one written whose container another node has ended, taking it for a stray', async (t) => {
  const { container, replaceStore, start, states, outcome } = await bootingOnLostClaim(t);
  replaceStore();
  container.endsOnceReady = true;
  start();
  t.match(await outcome, { kind: 'claim_gone' });
  t.same(states(), []);
});

t.test('a claim that was written anew goes again where its container has ended meanwhile', async (t) => {
  const { owned, container, replaceStore, start, states, outcome } = await bootingOnLostClaim(t);
  replaceStore();
  owned.doubt();
  await owned.restore('me');
  t.same(states(), ['booting']);
  container.endsOnceReady = true;
  start();
  t.match(await outcome, { kind: 'claim_gone' });
  t.same(states(), []);
});

t.test('a claim in doubt is written anew also when the store is long whole: it could not be told before', async (t) => {
  const { owned, start, states, outcome } = await bootingOnLostClaim(t);
  owned.doubt();
  start();
  t.match(await outcome, { kind: 'ready' });
  t.same(states(), ['ready']);
});

t.test('a claim that was written anew without an answer is found under its new name', async (t) => {
  const { boots, owned, local, session, store, start, states, users } = await setUp(t);
  const claim = await claimed(boots, local);
  const outcome = boots.carryOut(local, claim);
  await settle();
  session.incarnation = 'me again';
  store.answers = false;
  await owned.restore('me again').catch(() => {});
  t.equal(claim.owner, 'me', 'nobody said so');
  store.answers = true;
  start();
  t.match(await outcome, { kind: 'ready' });
  t.same([states(), users()], [['ready'], ['me again']]);
});

t.test(
  'a claim that was taken away in a store that is whole stays away, and its container is left to reconcile',
  async (t) => {
    const { boots, local, start, states, terminated, loseInstances } = await setUp(t);
    const claim = await boots.claim(local, 'first');
    if (!claim) return t.fail('nobody else boots');
    const outcome = boots.carryOut(local, claim);
    await settle();
    loseInstances();
    start();
    t.match(await outcome, { kind: 'claim_gone' });
    t.same(states(), []);
    t.same(terminated, [], 'nothing is killed without a written doom');
  },
);

t.test(
  'a success that was written, of which nobody was told in time, is not held by a node that does not use it',
  async (t) => {
    const { boots, clock, local, store, start, states, users } = await setUp(t);
    const claim = await claimed(boots, local);
    const booting = boots.carryOut(local, claim).then(async (outcome) => {
      if (outcome.kind === 'failed') await outcome.cleanedUp.catch(() => {});
      return outcome.kind;
    });
    await settle();
    store.answers = false;
    start();
    await settle();
    t.same([states(), users()], [['ready'], ['me']], 'written, and not answered');
    await clock.advance(app.bootTimeoutMs + 1_000);
    t.equal(await booting, 'failed');
    store.answers = true;
    await clock.advance(3_000);
    t.same([states(), users()], [['ready'], []], 'its idle TTL runs');
  },
);

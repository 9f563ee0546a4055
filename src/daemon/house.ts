import type { Logger } from 'pino';
import { Booter } from '../boot/booter.js';
import { BootPermits } from '../boot/boot-permits.js';
import { BootProcedure } from '../boot/boot-procedure.js';
import { ClaimedBoots, type ClaimedBootsOptions } from '../boot/claimed-boots.js';
import { BootHosts } from '../boot/boot-hosts.js';
import { MemoryGate, type MemoryGateOptions } from '../boot/memory-gate.js';
import { UnaskedBoots } from '../boot/unasked-boots.js';
import { Router } from '../check/router.js';
import type { ChangeBatch, Cmdb } from '../cmdb/cmdb.js';
import type { Config } from '../config/config.js';
import { Affinity } from '../dispatch/affinity.js';
import { Dispatcher, type DispatcherOptions, type RequestReport } from '../dispatch/dispatcher.js';
import { RequestRates } from '../dispatch/request-rates.js';
import type { Clients } from '../forward/clients.js';
import type { Forwarder } from '../forward/forwarder.js';
import type { Silenced } from '../forward/silenced.js';
import { type AppQuery, type FileApps, isStoreComplete } from './file-apps.js';
import { Follower } from '../membership/follower.js';
import { Peers } from '../membership/peers.js';
import { NodeSession } from '../membership/session.js';
import { type SessionTiming, silentAfterMs } from '../membership/session-timing.js';
import { StoreHealth } from '../membership/store-health.js';
import type { StoreListener } from '../membership/store-listener.js';
import type { AccessLog } from '../model/access-record.js';
import type { RuntimeName } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import { RequestError } from '../model/errors.js';
import { type RuntimeIdentity, sees, type Sight } from '../model/instance.js';
import type { Runtime } from '../runtime/runtime.js';
import { LogLimit } from '../telemetry/log-limit.js';
import type { Metrics } from '../telemetry/metrics.js';
import { Exits } from '../terminate/exits.js';
import { InstanceCheck } from '../terminate/instance-check.js';
import { MemoryRelief } from '../terminate/memory-relief.js';
import { Reaper, type ReaperOptions } from '../terminate/reaper.js';
import { Reconciler } from '../terminate/reconciler.js';
import { RemoteCheck } from '../terminate/remote-check.js';
import { Restoration } from '../terminate/restoration.js';
import { SilentHosts } from '../terminate/silent-hosts.js';
import { Terminator } from '../terminate/terminator.js';
import { AddressWatch } from '../uses/address-watch.js';
import { LocalApps } from '../uses/local-apps.js';
import { OwnedInstances } from '../uses/owned-instances.js';
import type { Seat } from '../uses/seat.js';
import { Suspensions } from '../uses/suspensions.js';
import { Uses } from '../uses/uses.js';
import { WakeGate } from '../wake/wake-gate.js';
import type { Machine } from './machine.js';

export interface HouseOptions {
  readonly cmdb: Cmdb;
  /** Filled by the caller, also later; a runtime that is not there cannot be booted on. */
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  /** Adds a runtime that an app needs, if it is not there; what it throws fails the boot. */
  readonly openRuntime?: (name: RuntimeName) => Promise<void>;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly machine: Machine;
  readonly forwarder: ForwardRoom;
  /** Of the tags that keep clients at instances, the same on all nodes; absent: none are given. */
  readonly affinityKey?: Buffer;
  /** Absent: clients are not told apart. */
  readonly clients?: Clients;
  /** Absent: every upgrade wakes. */
  readonly silenced?: Silenced;
  /** Absent: requests are not logged. */
  readonly accessLog?: AccessLog;
  readonly logger: Logger;
  readonly sessionTiming: SessionTiming;
  readonly reconcilePeriodMs: number;
  readonly fileApps: FileApps;
  /** The store is another one than before: apps have to be applied again. */
  readonly onStoreReplaced: () => void;
  /** Records of these apps changed, or of any. */
  readonly onAppsChanged?: (names: readonly string[] | 'all') => void;
  /** The store has something new of these apps, or of any. */
  readonly onStoreChanged?: (names: readonly string[] | 'all') => void;
}

/** What the rest of the house needs of the forward room. */
export type ForwardRoom = Pick<Forwarder, 'http' | 'upgrade' | 'endInstance' | 'close'>;

export type House = ReturnType<typeof createHouse>;
type Node = ReturnType<typeof createNode>;
type BootRoom = ReturnType<typeof createBootRoom>;
type TerminateRoom = ReturnType<typeof createTerminateRoom>;

/** The rooms of one node with what connects them; nothing runs yet. */
export function createHouse(options: HouseOptions) {
  const node = createNode(options);
  const { cmdb, apps, store, session, sight } = node;
  const { forwarder } = options;
  const isComplete = (query: AppQuery) => isStoreComplete(query, store, options.fileApps);
  const router = new Router({ cmdb, apps, isComplete: (domain) => isComplete({ domain }) });
  const uses: Uses = new Uses({
    ...node,
    onSeatFreed: (local) => boot.booter.seatFreed(local),
    onEnded: (instanceId) => forwarder.endInstance(instanceId),
  });
  const { metrics } = options;
  const suspensions = new Suspensions({
    ...{ ...node, uses },
    onPause: metrics.pause.bind(metrics),
    onResume: metrics.resume.bind(metrics),
  });
  const boot: BootRoom = createBootRoom(
    options,
    node,
    { uses, suspensions },
    {
      isComplete: (app) => isComplete({ app }),
      settled: (local) => terminate.restoration.settled(local),
      terminate: (app, id) => void terminate.terminator.terminate(app, id),
      relieve: (bytes) => terminate.memoryRelief.relieve(bytes),
    },
  );
  const terminate: TerminateRoom = createTerminateRoom(options, node, uses, {
    onUpkeep: (app, upkeep) => boot.unaskedBoots.keepUp(app, upkeep),
    onAsked: (app) => {
      boot.unaskedBoots.takeUp(app);
      suspensions.takeUp(app);
    },
    pause: (app, instance) => suspensions.pause(app, instance),
  });
  node.listeners.push(
    // Its change log may go on where the old one's ended: then it reports no gap.
    { storeReplaced: () => router.forget() },
    terminate.restoration,
    terminate.reconciler,
    { storeReplaced: options.onStoreReplaced },
  );
  const follower = new Follower({
    ...node,
    onChanges: (batch) => {
      options.onStoreChanged?.(batch.gap ? 'all' : batch.changes.map(({ app }) => app));
      return follow(batch, { ...node, ...boot, ...terminate, router, uses, suspensions }, options.onAppsChanged);
    },
    onInterrupted: () => void session.beat(),
  });
  const addressWatch = new AddressWatch({ ...node, uses });
  return {
    ...{ apps, store, peers: node.peers, session, sight, router, uses, forwarder, follower },
    ...boot,
    ...terminate,
    addressWatch,
    dispatcher: createDispatcher(options, { ...node, ...boot, ...terminate, router }),
    /** Finds the socket on which a seat's instance accepts connections; undefined if no other program can have its address. */
    listenerOf(seat: Seat): (() => Promise<string | undefined>) | undefined {
      const runtime = node.runtimeOf(seat);
      return runtime?.listener && (async () => runtime.listener?.(seat.instanceId));
    },
    /** Begins nothing more, and refuses the requests that wait; resolves when what was under way has ended. */
    async stop(): Promise<void> {
      const { booter, boots, unaskedBoots } = boot;
      const { exits, memoryRelief, reaper, reconciler, restoration, terminator } = terminate;
      const reason = new RequestError('shutting_down');
      exits.stop();
      addressWatch.stop();
      boots.abort(reason);
      await Promise.all([booter.stop(reason), unaskedBoots.stop(), memoryRelief.stop()]);
      await Promise.all([follower.stop(), reaper.stop(), reconciler.stop(), restoration.stop()]);
      await suspensions.stop();
      await terminator.settled();
    },
  };
}

/** What all rooms stand on: the store, the machine, and this node as a member among its peers. */
function createNode({ cmdb, runtimes, config, machine, clock, logger, sessionTiming: timing }: HouseOptions) {
  const { process, isProvedDead, randomBytes, probe } = machine;
  const { host, advertise } = config.node;
  const sight: Sight = { host, runtimeIds: { get: (name) => runtimes.get(name)?.identity?.id } };
  const listeners: StoreListener[] = [];
  const store = new StoreHealth(timing.ttlMs, clock);
  const node = { cmdb, host, process, isProvedDead, randomBytes, sight, store, listeners, timing, clock, logger };
  const peers = new Peers(node);
  const session = new NodeSession({ ...node, peers, runtimes: () => identitiesOf(runtimes) });
  /** The runtime that holds a seat's instance; undefined if this node does not see it. */
  const runtimeOf = ({ location }: Seat) => (sees(sight, location) ? runtimes.get(location.runtime) : undefined);
  const apps = new LocalApps(cmdb);
  const owned = new OwnedInstances(apps, clock);
  return { ...node, peers, session, apps, owned, runtimes, runtimeOf, probe, pins: advertise !== undefined };
}

function createBootRoom(
  { config, metrics, machine, openRuntime }: HouseOptions,
  node: Node,
  { uses, suspensions }: { readonly uses: Uses; readonly suspensions: Suspensions },
  told: Pick<ClaimedBootsOptions, 'settled' | 'terminate'> &
    Pick<MemoryGateOptions, 'relieve'> & { readonly isComplete: (app: string) => boolean },
) {
  const { clock, logger } = node;
  const gate = new MemoryGate({
    ...{ clock, logger, relieve: told.relieve },
    ...{ floorBytes: config.memory.floorBytes, read: machine.readMemory, onWait: metrics.memoryWait.bind(metrics) },
  });
  const pinned = new LogLimit({ clock, logger, lines: 1, intervalMs: 60_000 });
  const boots = new ClaimedBoots({ ...node, ...told, uses, openRuntime, onBoot: metrics.boot.bind(metrics) });
  const procedure = new BootProcedure({ permits: new BootPermits(config.boot.concurrency), memory: gate, boots });
  const parts = { ...node, uses, suspensions, hosts: new BootHosts(node), boots, procedure };
  return {
    boots,
    unaskedBoots: new UnaskedBoots({
      ...{ ...parts, warn: (app, message) => pinned.log(app, { app }, message) },
      onReplacement: metrics.replacement.bind(metrics),
    }),
    booter: new Booter({
      ...{ ...parts, isComplete: told.isComplete, maxWaiting: config.boot.maxWaiting },
      onQueue: metrics.queueChanged.bind(metrics),
    }),
  };
}

function createTerminateRoom(
  { config, metrics, machine, reconcilePeriodMs }: HouseOptions,
  node: Node,
  uses: Uses,
  told: Pick<ReaperOptions, 'onUpkeep' | 'onAsked' | 'pause'>,
) {
  const terminator = new Terminator({ ...node, onTerminated: metrics.terminated.bind(metrics) });
  const onRemoved = ({ runtime }: { runtime: RuntimeName }) => metrics.lostInstance(runtime);
  const silentHosts = new SilentHosts({ ...node, uses, onRemoved });
  const reaper = new Reaper({ ...node, ...told, terminator, silentHosts });
  const reconciler = new Reconciler({ ...node, reaper, periodMs: reconcilePeriodMs });
  const exits = new Exits({ ...node, uses });
  const { timing } = node;
  const remote = new RemoteCheck({
    ...node,
    removeOutOfReach: (deployment) => silentHosts.remove(deployment),
    limitMs: silentAfterMs(timing) + 2 * timing.beatMs,
  });
  const memory = { floorBytes: config.memory.floorBytes, read: machine.readMemory };
  return {
    ...{ terminator, reaper, reconciler },
    restoration: new Restoration({ ...node, uses, onRestored: () => reconciler.again() }),
    memoryRelief: new MemoryRelief({ ...node, ...memory, uses, terminator }),
    exits,
    instanceCheck: new InstanceCheck({ ...node, remote, onDead: (runtime, exit) => exits.report(runtime, exit) }),
  };
}

/** Of lines about refusals; a warning, unless it is here. */
const levels = new Map<unknown, 'debug' | 'info' | 'error'>([
  ['internal_error', 'error'],
  ['wake_denied', 'info'],
  ['app_booting', 'debug'],
]);

function createDispatcher(
  { config, metrics, clock, logger, clients, silenced, forwarder, accessLog, affinityKey }: HouseOptions,
  rooms: Pick<DispatcherOptions, 'session' | 'router' | 'booter' | 'instanceCheck'>,
): Dispatcher {
  const limit = new LogLimit({ clock, logger });
  return new Dispatcher({
    ...{ ...rooms, forwarder, clock },
    ...(clients && { clients }),
    ...(silenced && { silenced }),
    ...(affinityKey && { affinity: new Affinity(affinityKey) }),
    wake: new WakeGate({
      ...{ budget: config.wake.budget, parts: config.workers, clock },
      onVerdict: metrics.wakeVerdict.bind(metrics),
    }),
    ...(accessLog && { accessLog }),
    rates: new RequestRates({ clock, parts: config.workers }),
    bounds: config.http,
    serverTiming: config.http.serverTiming,
    logRefusal: (fields, message) => {
      const { code, outcome, app } = fields;
      limit.log(`${String(code ?? outcome)} ${String(app)}`, fields, message, levels.get(code) ?? 'warn');
    },
    onRequest: (report) => count(metrics, report),
  });
}

/** Follows the change log: forgets domains, reads known apps again, and looks at changed ones. */
async function follow(
  { changes, gap }: ChangeBatch,
  {
    apps,
    host,
    session,
    router,
    uses,
    suspensions,
    unaskedBoots,
    reaper,
  }: Node & BootRoom & TerminateRoom & { router: Router; uses: Uses; suspensions: Suspensions },
  onAppsChanged: HouseOptions['onAppsChanged'],
): Promise<void> {
  const appChanges = changes.filter(({ version }) => version === undefined);
  if (gap || appChanges.length > 0) router.forget();
  if (gap) {
    // A replaced store first gets back what is used: read before, that would seem gone.
    await session.beat();
    onAppsChanged?.('all');
    await uses.renewalTried();
    return apps.refreshAll();
  }
  if (appChanges.length > 0) onAppsChanged?.(appChanges.map(({ app }) => app));
  await Promise.all(changes.map(({ app, version }) => apps.refresh(app, version)));
  // What only this host can do does not wait for the schedule. One of its nodes is enough to look, but each may have permits to boot.
  const here = changes.filter(({ hosts }) => hosts?.includes(host));
  for (const { app } of here) {
    unaskedBoots.takeUp(app);
    suspensions.takeUp(app);
  }
  const changed = new Set([...appChanges, ...(session.leadsHost ? here : [])].map(({ app }) => app));
  await Promise.all([...changed].map((app) => reaper.look(app)));
}

function identitiesOf(runtimes: ReadonlyMap<RuntimeName, Runtime>): Record<string, RuntimeIdentity> {
  return Object.fromEntries(
    [...runtimes].flatMap(([name, { identity }]) => (identity === undefined ? [] : [[name, identity]])),
  );
}

function count(metrics: Metrics, { app, code, cold, durationMs, outcome, errorCode }: RequestReport): void {
  if (app === undefined) metrics.refused(errorCode ?? 'bad_request');
  else metrics.request(app, code, cold ? 'cold' : 'warm', durationMs, outcome, errorCode);
}

import type { Logger } from 'pino';
import { AskedBoots } from '../boot/asked-boots.js';
import { Booter } from '../boot/booter.js';
import { BootPlaces } from '../boot/boot-places.js';
import { BootSlots } from '../boot/boot-slots.js';
import { Circulator } from '../boot/circulator.js';
import { ClaimedBoots } from '../boot/claimed-boots.js';
import { Homes } from '../boot/homes.js';
import { MemoryGate } from '../boot/memory-gate.js';
import { InstanceCheck } from '../terminate/instance-check.js';
import { RemoteCheck } from '../terminate/remote-check.js';
import { type AppQuery, type FileApps, isStoreComplete } from '../membership/file-apps.js';
import { Follower } from '../membership/follower.js';
import { LocalApps } from '../uses/local-apps.js';
import { Router } from '../check/router.js';
import type { Seat } from '../uses/seat.js';
import { Peers } from '../membership/peers.js';
import { NodeSession } from '../membership/session.js';
import { type SessionTiming, silentAfterMs } from '../membership/session-timing.js';
import { StoreHealth } from '../membership/store-health.js';
import { OwnedInstances } from '../uses/owned-instances.js';
import { Uses } from '../uses/uses.js';
import type { ChangeBatch, Cmdb } from '../cmdb/cmdb.js';
import type { Config } from '../config/config.js';
import { Dispatcher, type RequestReport } from '../dispatch/dispatcher.js';
import type { Clients } from '../forward/clients.js';
import type { Forwarder } from '../forward/forwarder.js';
import type { Silenced } from '../forward/silenced.js';
import type { Machine } from './machine.js';
import type { RuntimeName } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import { type RuntimeIdentity, sees, type Sight } from '../model/instance.js';
import type { Runtime } from '../runtime/runtime.js';
import { LogLimit } from '../telemetry/log-limit.js';
import type { Metrics } from '../telemetry/metrics.js';
import { AddressWatch } from '../uses/address-watch.js';
import { Exits } from '../terminate/exits.js';
import { SilentHosts } from '../terminate/silent-hosts.js';
import { MemoryRelief } from '../terminate/memory-relief.js';
import { Reaper } from '../terminate/reaper.js';
import { Reconciler } from '../terminate/reconciler.js';
import { Restoration } from '../terminate/restoration.js';
import { Terminator } from '../terminate/terminator.js';

export interface HouseOptions {
  readonly cmdb: Cmdb;
  /** Filled by the caller, also later; a runtime that is not there cannot be booted on. */
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly machine: Machine;
  readonly forwarder: ForwardRoom;
  /** Absent: no client is told from another. */
  readonly clients?: Clients;
  /** Absent: every upgrade wakes. */
  readonly silenced?: Silenced;
  readonly logger: Logger;
  readonly sessionTiming: SessionTiming;
  readonly reconcilePeriodMs: number;
  readonly fileApps: FileApps;
  /** The store is another one than before: apps have to be applied again. */
  readonly onStoreReplaced: () => void;
  /** Records of these apps changed, or of any. */
  readonly onAppsChanged?: (names: readonly string[] | 'all') => void;
}

/** What the rest of the house needs of the forward room. */
export type ForwardRoom = Pick<Forwarder, 'http' | 'upgrade' | 'endInstance' | 'close'>;

/** The four rooms with what connects them; nothing runs yet. */
export class House {
  readonly apps: LocalApps;
  readonly store: StoreHealth;
  readonly peers: Peers;
  readonly session: NodeSession;
  readonly router: Router;
  readonly uses: Uses;
  readonly booter: Booter;
  readonly circulator: Circulator;
  readonly askedBoots: AskedBoots;
  readonly forwarder: ForwardRoom;
  readonly terminator: Terminator;
  readonly reaper: Reaper;
  readonly memoryRelief: MemoryRelief;
  readonly addressWatch: AddressWatch;
  readonly reconciler: Reconciler;
  readonly restoration: Restoration;
  readonly exits: Exits;
  readonly follower: Follower;
  readonly dispatcher: Dispatcher;
  readonly sight: Sight;
  readonly #silentHosts: SilentHosts;
  readonly #host: string;
  readonly #runtimes: ReadonlyMap<RuntimeName, Runtime>;

  constructor(options: HouseOptions) {
    const { cmdb, runtimes, config, metrics, clock, machine, logger } = options;
    const { process, isProvedDead, randomBytes, probe } = machine;
    const timing = options.sessionTiming;
    const { host, advertise } = config.node;
    const pins = advertise !== undefined;
    this.#host = host;
    this.#runtimes = runtimes;
    const sight: Sight = { host, runtimeIds: { get: (name) => runtimes.get(name)?.identity?.id } };
    this.sight = sight;
    const apps = new LocalApps(cmdb);
    const store = new StoreHealth(timing.ttlMs, clock);
    const peers = new Peers({
      ...{ store, sight, process, timing, isProvedDead, clock, logger },
      onHostsSilent: (hosts) => void this.#onHostsSilent(hosts, logger),
    });
    this.store = store;
    this.peers = peers;
    const session = new NodeSession({
      ...{ cmdb, store, peers, host, process, isProvedDead, timing, clock, randomBytes, logger },
      runtimes: () => identitiesOf(runtimes),
      onRenewed: (republishUntil) => this.restoration.renew(republishUntil),
      onStoreReplaced: () => {
        // Its change log may go on where the other one's ended: then nothing tells what is different.
        this.router.forget();
        this.restoration.begin('replaced');
        options.onStoreReplaced();
      },
    });
    this.apps = apps;
    const isComplete = (query: AppQuery) => isStoreComplete(query, store, options.fileApps);
    this.session = session;
    this.router = new Router({ cmdb, apps, isComplete: (domain) => isComplete({ domain }) });
    this.forwarder = options.forwarder;
    this.uses = new Uses({
      ...{ apps, session, store, clock, logger },
      onSeatFreed: (local) => this.booter.seatFreed(local),
      onEnded: (instanceId) => this.forwarder.endInstance(instanceId),
    });
    const owned = new OwnedInstances(apps, clock);
    const onTerminated = metrics.terminated.bind(metrics);
    const terminator = new Terminator({ cmdb, apps, owned, runtimes, logger, onTerminated });
    this.terminator = terminator;
    this.restoration = new Restoration({
      ...{ cmdb, apps, store, session, uses: this.uses, owned, sight, pins, runtimes, timing, clock, logger },
      onRestored: () => this.reconciler.again(),
    });
    const boots = new ClaimedBoots({
      ...{ apps, uses: this.uses, owned, session, store, runtimes, host, pins, clock, randomBytes, probe, logger },
      settled: (local) => this.restoration.settled(local),
      terminate: (app, id) => void terminator.terminate(app, id),
      onBoot: metrics.boot.bind(metrics),
    });
    const memory = { floorBytes: config.memory.floorBytes, read: machine.readMemory, clock, logger };
    const { uses } = this;
    this.memoryRelief = new MemoryRelief({ ...memory, cmdb, apps, uses, session, peers, store, terminator, sight });
    const gate = new MemoryGate({
      ...memory,
      relieve: (bytes) => this.memoryRelief.relieve(bytes),
      onWait: metrics.memoryWait.bind(metrics),
    });
    const places = new BootPlaces(new BootSlots(config.boot.concurrency), gate);
    const onReplacement = metrics.replacement.bind(metrics);
    const homes = new Homes({ peers, host, pins });
    const pinned = new LogLimit({ clock, logger, lines: 1, intervalMs: 60_000 });
    const warn = (app: string, message: string) => pinned.warn(app, { app }, message);
    this.circulator = new Circulator({ apps, places, boots, homes, warn, logger, onReplacement });
    this.askedBoots = new AskedBoots({ apps, uses, peers, places, boots, host, logger, onReplacement });
    this.booter = new Booter({
      ...{ apps, uses, session, places, boots, homes, clock, logger },
      maxWaiting: config.boot.maxWaiting,
      isComplete: (app) => isComplete({ app }),
      onQueue: metrics.queueChanged.bind(metrics),
    });
    this.#silentHosts = new SilentHosts({
      ...{ apps, uses, session, peers, probe, clock, logger },
      onRemoved: ({ runtime: name }) => metrics.lostInstance(name),
    });
    const onUpkeep = this.circulator.boot.bind(this.circulator);
    const onAsked = this.askedBoots.look.bind(this.askedBoots);
    this.reaper = new Reaper({
      ...{ cmdb, apps, session, peers, store, terminator, silentHosts: this.#silentHosts, sight, clock, logger, onUpkeep, onAsked },
    });
    const periodMs = options.reconcilePeriodMs;
    this.reconciler = new Reconciler({
      ...{ cmdb, apps, session, peers, store, runtimes, sight, pins, clock, logger, periodMs },
      reaper: this.reaper,
    });
    this.addressWatch = new AddressWatch({ apps, uses, store, probe, clock, logger });
    this.exits = new Exits({ apps, uses: this.uses, clock, logger });
    this.follower = new Follower({
      ...{ cmdb, clock, logger },
      onChanges: (changes) => this.#follow(changes, options.onAppsChanged),
      onInterrupted: () => void session.beat(),
    });
    this.dispatcher = this.#dispatcher(options);
  }

  /** What tells on which socket a seat's instance accepts connections; undefined if no other program can have its address. */
  listenerOf(seat: Seat): (() => Promise<string | undefined>) | undefined {
    const runtime = this.#runtimeOf(seat);
    return runtime?.listener && (async () => runtime.listener?.(seat.instanceId));
  }

  /** Sends away who waits, and begins nothing more; resolves when what was under way has ended. */
  async stopBoots(): Promise<void> {
    const { booter, circulator, askedBoots, memoryRelief } = this;
    await Promise.all([booter.stop(), circulator.stop(), askedBoots.stop(), memoryRelief.stop()]);
  }

  /** What the change log tells: domains may lead elsewhere, known apps are read again, changed ones looked at. */
  async #follow({ changes, gap }: ChangeBatch, onAppsChanged: HouseOptions['onAppsChanged']): Promise<void> {
    const appChanges = changes.filter(({ version }) => version === undefined);
    if (gap || appChanges.length > 0) this.router.forget();
    if (gap) {
      // A store that came back empty gets back what is used before anybody reads from it that nothing is there.
      await this.session.beat();
      onAppsChanged?.('all');
      await this.uses.renewalTried();
      return this.apps.refreshAll();
    }
    if (appChanges.length > 0) onAppsChanged?.(appChanges.map(({ app }) => app));
    await Promise.all(changes.map(({ app, version }) => this.apps.refresh(app, version)));
    // What only this machine can do is not left to whoever asks the schedule first; one of its nodes is enough, except to boot.
    const here = changes.filter(({ hosts }) => hosts?.includes(this.#host));
    for (const { app } of here) this.askedBoots.look(app);
    const apps = new Set([...appChanges, ...(this.session.leadsHost ? here : [])].map(({ app }) => app));
    await Promise.all([...apps].map((app) => this.reaper.look(app)));
  }

  /** What scale.min wants of them, and what waits for their instances, does not wait for the next comparison. */
  async #onHostsSilent(hosts: readonly string[], logger: Logger): Promise<void> {
    logger.warn({ hosts }, 'no dispatcher of these hosts lives any more; their instances are used while they answer');
    await this.reconciler.recover().catch((error: unknown) => {
      logger.warn(
        { err: error },
        'looking for what was lost with a host failed; trying again with the next comparison',
      );
    });
  }

  /** The runtime that holds a seat's instance; undefined if this node does not see it. */
  #runtimeOf({ location }: Seat): Runtime | undefined {
    return sees(this.sight, location) ? this.#runtimes.get(location.runtime) : undefined;
  }

  #dispatcher(options: HouseOptions): Dispatcher {
    const { config, metrics, clock, logger, machine, sessionTiming, clients, silenced } = options;
    const limit = new LogLimit({ clock, logger });
    const instanceCheck = new InstanceCheck({
      runtimeOf: (seat) => this.#runtimeOf(seat),
      onDead: (runtime, exit) => this.exits.report(runtime, exit),
      remote: new RemoteCheck({
        ...{ apps: this.apps, store: this.store, peers: this.peers, probe: machine.probe, clock },
        removeOutOfReach: (deployment) => this.#silentHosts.remove(deployment),
        limitMs: silentAfterMs(sessionTiming) + 2 * sessionTiming.beatMs,
      }),
    });
    return new Dispatcher({
      session: this.session,
      router: this.router,
      booter: this.booter,
      forwarder: this.forwarder,
      instanceCheck,
      clock,
      ...(clients && { clients }),
      ...(silenced && { silenced }),
      serverTiming: config.http.serverTiming,
      logRefusal: (fields, message) => {
        const { code, app } = fields;
        const level = code === 'internal_error' ? 'error' : 'warn';
        limit.warn(`${String(code)} ${String(app)}`, fields, message, level);
      },
      onRequest: (report) => count(metrics, report),
    });
  }
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

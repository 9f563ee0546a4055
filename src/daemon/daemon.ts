import { setImmediate as turn } from 'node:timers/promises';
import type { Activity } from '../model/why.js';
import type { Logger } from 'pino';
import { affinityKeyOf, openCmdb, openRuntime } from './adapters.js';
import type { Readiness } from '../admin/health-routes.js';
import type { NodeStatus } from '../admin/node-routes.js';
import { FileApps } from './file-apps.js';
import { defaultSessionTiming, type SessionTiming } from '../membership/session-timing.js';
import type { Cmdb } from '../cmdb/cmdb.js';
import type { Config } from '../config/config.js';
import { ConfigHealth } from '../config/config-health.js';
import { formatListenAddress } from '../config/listen-address.js';
import { Control } from './control.js';
import { Clients } from '../forward/clients.js';
import { Silenced } from '../forward/silenced.js';
import { type CloseCause, ConnectionBounds } from '../entrance/connection-bounds.js';
import { Forwarder } from '../forward/forwarder.js';
import { Challenges } from '../certify/challenges.js';
import { Seal } from '../certify/seal.js';
import { SealedDocuments } from '../certify/sealed-documents.js';
import { Certificates } from '../entrance/certificates.js';
import { challengesFirst } from '../entrance/challenges-first.js';
import { createListener, type Listener } from '../entrance/listener.js';
import type { SecureTerms } from '../entrance/secure-server.js';
import { affordableConnections, openFilesLimit } from '../machine/descriptor-limit.js';
import { longestDrainMs } from './drain-time.js';
import { type ReadMemory, readHostMemory } from '../machine/host-memory.js';
import { createHouse, type House } from './house.js';
import { keepAlive } from './keep-alive.js';
import { thisMachine } from './machine.js';
import { DaemonTls, type TlsSupply } from './tls-supply.js';
import type { App, RuntimeName } from '../model/app.js';
import { sees } from '../model/instance.js';
import { shared } from '../model/shared-work.js';
import type { Clock } from '../model/clock.js';
import type { Runtime } from '../runtime/runtime.js';
import { systemClock } from '../machine/system-clock.js';
import { AccessLogFile } from '../telemetry/access-log/access-log.js';
import { LogLimit } from '../telemetry/log-limit.js';
import { measuredCmdb } from '../telemetry/measured-cmdb.js';
import { measuredRuntime } from '../telemetry/measured-runtime.js';
import { Metrics } from '../telemetry/metrics.js';
import { UnreadableRecords } from '../telemetry/unreadable-records.js';
import { type LeftRunning, leftRunning } from '../terminate/left-running.js';
import { stopAll } from '../terminate/stop-all.js';

/** Times that tests shorten; operators cannot set them. */
export interface DaemonTiming {
  readonly session: SessionTiming;
  readonly reconcilePeriodMs: number;
}

export interface DaemonOptions {
  readonly config: Config;
  readonly logger: Logger;
  /** End the instances of this machine when the daemon closes; otherwise they run on and are found again. */
  readonly stopApps?: boolean;
  readonly version: string;
  readonly timing?: Partial<DaemonTiming>;
  /** What is wrong with the files, as it changes; absent: as of the start. */
  readonly health?: ConfigHealth;
  /** How much memory there is; absent: this host's own. */
  readonly readMemory?: ReadMemory;
  /** Node's handles of sockets that are bound to addresses of `config.listen` already (formatListenAddress). */
  readonly sockets?: ReadonlyMap<string, object>;
  /** Called if a daemon that had started cannot go on; then destroy it. */
  readonly onFatal?: (error: Error) => void;
}

/** Where requests come in, as host:port. */
export interface Addresses {
  readonly http: readonly string[];
  readonly https: readonly string[];
}

/** What `fastcontainer start` runs: one dispatcher process with its control side, or a supervisor of several. */
export interface Daemon {
  /** Resolves to where it listens, when it accepts requests. Rejects if an address cannot be bound. */
  start(): Promise<Addresses & { readonly admin: string }>;
  /** Takes over a good new configuration. */
  reload(next: Config): Promise<void>;
  /**
   * Drains this process's own requests, for as long as an app's drainTimeout allows, and ends. Resolves to what runs on; undefined
   * if that cannot be known. Re-entrant.
   */
  close(): Promise<LeftRunning | undefined>;
  /** Ends at once; what is under way is broken off. Containers run on. Re-entrant. */
  destroy(): Promise<void>;
}

/** One dispatcher process, with its control side, as a whole daemon. Builds everything and starts nothing. */
export function createDaemon(options: DaemonOptions): Daemon {
  return new SingleProcess(options);
}

/** What a dispatcher process knows of the apps of the files; the apps that it serves come from the store. */
export type FileApp = Pick<App, 'name' | 'domains' | 'runtime' | 'drainTimeoutMs'>;

/** One of several dispatcher processes of a daemon; the control side is its supervisor's. */
export type WorkerNode = Omit<Composition, 'cmdb' | 'unreadable' | 'storeIdentity' | 'isStoreComplete'>;

export function createWorkerNode(options: DaemonOptions, tls?: TlsSupply): WorkerNode {
  return new Composition(options, tls);
}

const closedMessages: Readonly<Record<CloseCause, string>> = {
  limit: 'a connection was refused: as many are open as this process takes, and each has a request',
  client_limit: 'a connection was refused: this client has as many open as one may have, and each has a request',
  room: 'an idle connection was closed: its room was needed',
};

const defaultTiming: DaemonTiming = { session: defaultSessionTiming, reconcilePeriodMs: 60_000 };

/** A dispatcher process that is a whole daemon. */
class SingleProcess implements Daemon {
  readonly #node: Composition;
  readonly #control: Control;
  /** Undefined without HTTPS. */
  readonly #tls: DaemonTls | undefined;
  #config: Config;

  constructor(options: DaemonOptions) {
    const { config, logger, version } = options;
    this.#config = config;
    this.#tls =
      config.listen.https.length === 0
        ? undefined
        : new DaemonTls({
            ...{ tls: config.tls, installation: config.cmdb.name, clock: systemClock, logger },
            cmdb: {
              find: (query) => this.#node.cmdb.find(query),
              sealed: (name) => this.#node.cmdb.sealed(name),
              changeSealed: (name, change) => this.#node.cmdb.changeSealed(name, change),
            },
            onOrder: (result) => this.#node.metrics.certificateOrder(result),
            onBrokenRecord: () => this.#node.metrics.brokenRecord(),
            onChanged: () => void this.#node.certificatesChanged(),
            onTicketKeys: (keys) => this.#node.setTicketKeys(keys),
          });
    this.#node = new Composition(options, this.#tls, {
      onStoreReplaced: () => void this.#control.apply(this.#config, { force: true }),
      onAppsChanged: (names) => this.#control.appsChanged(names),
      onStoreChanged: (names) => this.#control.storeChanged(names),
      onAppForged: (app) => this.#control.appForged(app),
      onEnd: async () => void (await Promise.all([this.#control.close(), this.#tls?.close()])),
    });
    const { cmdb, metrics, unreadable } = this.#node;
    this.#control = new Control({
      ...{ config, version, cmdb, unreadable, metrics, logger, clock: systemClock },
      readMemory: options.readMemory ?? (() => readHostMemory()),
      health: options.health ?? new ConfigHealth(config),
      tls: this.#tls,
      exposition: metrics.registry,
      onApplied: (identity) => this.#node.applied(identity),
      serving: {
        storeIdentity: () => this.#node.storeIdentity,
        nodes: () => this.#node.nodes(),
        isComplete: () => this.#node.isStoreComplete,
        checks: () => this.#node.checks(),
        activity: async () => this.#node.activity(),
        see: (app) => this.#node.see(app),
      },
    });
  }

  async start(): Promise<Addresses & { admin: string }> {
    await this.#node.open();
    await this.#control.apply(this.#config);
    const addresses = await this.#node.serve();
    return { ...addresses, admin: await this.#control.listen() };
  }

  async reload(next: Config): Promise<void> {
    await this.#node.reload(next.apps);
    this.#config = next;
    // Each passes all apps.
    await turn();
    await this.#control.apply(next);
  }

  async close(): Promise<LeftRunning | undefined> {
    await this.#node.close();
    return this.#node.left;
  }

  destroy(): Promise<void> {
    return this.#node.destroy();
  }
}

/** What a dispatcher process tells the daemon around it. */
interface Surroundings {
  readonly onStoreReplaced: () => void;
  /** Records of these apps changed, or of any. */
  readonly onAppsChanged: (names: readonly string[] | 'all') => void;
  /** The store has something new of these apps, or of any. */
  readonly onStoreChanged: (names: readonly string[] | 'all') => void;
  /** The record of this app was not signed with the key. */
  readonly onAppForged: (app: string) => void;
  /** This node has drained, and its store is about to close. */
  readonly onEnd: () => Promise<void>;
}

/** The adapters and the rooms of one dispatcher process. */
class Composition {
  readonly metrics = new Metrics();
  readonly cmdb: Cmdb;
  readonly unreadable: UnreadableRecords;
  readonly #options: DaemonOptions;
  readonly #surroundings: Partial<Surroundings>;
  readonly #clock: Clock = systemClock;
  readonly #runtimes = new Map<RuntimeName, Runtime>();
  readonly #opening = new Map<string, Promise<void>>();
  readonly #house: House;
  readonly #fileApps: FileApps;
  /** Of warnings that clients can cause. */
  readonly #limit: LogLimit;
  readonly #accessLog: AccessLogFile | undefined;
  readonly #clients: Clients;
  readonly #bounds: ConnectionBounds;
  /** Undefined without HTTPS. */
  readonly #certificates: Certificates | undefined;
  /** Undefined if no certificate is ordered. */
  readonly #challenges: Challenges | undefined;
  /** The latest. */
  #ticketKeys: Buffer;
  #listeners: Listener[] = [];
  #apps: readonly FileApp[];
  #closing: Promise<void> | undefined;
  #destroying: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  /** What runs on of what this node saw, known once it has ended. */
  left: LeftRunning | undefined;

  constructor(options: DaemonOptions, tls?: TlsSupply, surroundings: Partial<Surroundings> = {}) {
    const { config, logger } = options;
    const here = thisMachine(config.node.host);
    const machine = { ...here, readMemory: options.readMemory ?? here.readMemory };
    this.#options = options;
    this.#limit = new LogLimit({ clock: this.#clock, logger });
    this.#surroundings = surroundings;
    this.#apps = config.apps;
    this.#fileApps = new FileApps(config.apps);
    this.#clients = new Clients(config.trustedProxies);
    this.#bounds = this.#boundConnections(config.http);
    this.#certificates =
      tls &&
      new Certificates({
        source: tls.certificates,
        onUnusable: (name, err) => this.#limit.log('certificate', { name, err }, 'a certificate cannot be used'),
      });
    this.#ticketKeys = tls?.ticketKeys ?? Buffer.alloc(0);
    const { acme } = config.tls;
    this.#challenges =
      acme &&
      new Challenges({
        clock: this.#clock,
        documents: new SealedDocuments({
          seal: new Seal(acme.key, config.cmdb.name),
          cmdb: {
            sealed: (name) => this.cmdb.sealed(name),
            changeSealed: (name, change) => this.cmdb.changeSealed(name, change),
          },
          // The process that orders says so.
          onBroken() {},
        }),
      });
    const timing = { ...defaultTiming, ...options.timing };
    this.unreadable = new UnreadableRecords({ logger, onForgedApp: (app) => surroundings.onAppForged?.(app) });
    this.cmdb = measuredCmdb(openCmdb(config, logger, this.unreadable.report), this.metrics, this.#clock);
    const silenced = new Silenced(this.#clients, this.#clock);
    const { accessLog } = config;
    if (accessLog) {
      const told = { settings: accessLog, clock: this.#clock, logger };
      this.#accessLog = new AccessLogFile({ ...told, onDropped: (lines) => this.metrics.accessLogDropped(lines) });
    }
    this.#house = createHouse({
      ...{ config, machine, logger, cmdb: this.cmdb, metrics: this.metrics, clock: this.#clock },
      runtimes: this.#runtimes,
      forwarder: new Forwarder({
        ...config.http,
        host: config.node.host,
        maxConnections: this.#bounds.max,
        clients: this.#clients,
        silenced,
        listenerOf: (seat) => this.#house.listenerOf(seat),
      }),
      clients: this.#clients,
      silenced,
      ...(this.#accessLog && { accessLog: this.#accessLog }),
      affinityKey: affinityKeyOf(config),
      sessionTiming: timing.session,
      reconcilePeriodMs: timing.reconcilePeriodMs,
      fileApps: this.#fileApps,
      onStoreReplaced: () => surroundings.onStoreReplaced?.(),
      onAppsChanged: (names) => {
        if (names === 'all') void this.#openRuntimesInUse();
        surroundings.onAppsChanged?.(names);
      },
      onStoreChanged: (names) => surroundings.onStoreChanged?.(names),
      openRuntime: (name) => this.#openRuntime(name),
    });
  }

  get storeIdentity(): string | undefined {
    return this.#house.store.identity;
  }

  get isStoreComplete(): boolean {
    return this.#house.store.isComplete;
  }

  /** Those with a session in the store now, this one among them. */
  async nodes(): Promise<readonly NodeStatus[]> {
    const { session, peers } = this.#house;
    await session.beat();
    return peers.sessions.map((each) => ({ session: each, isSilent: peers.verdict(each.incarnation) !== 'alive' }));
  }

  /** Becomes a node of the protocol that does not serve yet. */
  async open(): Promise<void> {
    await this.#openRuntimes(this.#apps);
    await this.#house.session.start();
  }

  /** Settles what dead nodes left, unless another node of this host does. */
  async recover(): Promise<void> {
    const { session, peers, reconciler } = this.#house;
    const { logger, config } = this.#options;
    // It may be under way on another machine of the same name; the next comparison can tell.
    const isUnsure = config.node.advertise !== undefined && peers.mayHaveRival;
    if (!session.leadsHost || isUnsure) return;
    await reconciler.recover().catch((error: unknown) => logger.debug({ err: error }, 'nothing recovered yet'));
  }

  /** Resolves to where it listens. */
  async serve(): Promise<Addresses> {
    const { follower, reaper, reconciler, restoration, memoryRelief, addressWatch } = this.#house;
    await this.#openRuntimesInUse();
    restoration.begin('start');
    follower.start();
    await this.recover();
    reaper.start();
    reconciler.start();
    memoryRelief.start();
    addressWatch.start();
    const { listen } = this.#options.config;
    const [http, https] = await Promise.all([
      Promise.all(listen.http.map((address) => this.#listen(address))),
      Promise.all(listen.https.map((address) => this.#listen(address, this.#secureTerms()))),
    ]);
    return { http, https };
  }

  async start(): Promise<Addresses> {
    await this.open();
    return this.serve();
  }

  async reload(apps: readonly FileApp[]): Promise<void> {
    // First: if a runtime cannot be opened, this node keeps the apps that it has.
    await this.#openRuntimes(apps);
    this.#apps = apps;
    this.#fileApps.read(apps);
  }

  /** The apps of the files were applied to the store of this identity; undefined: to none. */
  applied(identity: string | undefined): void {
    this.#fileApps.applied(identity);
  }

  /** Certificates may be others than before. */
  async certificatesChanged(): Promise<void> {
    this.#certificates?.changed();
    await Promise.all(this.#listeners.map(async ({ secure }) => secure?.refresh()));
  }

  setTicketKeys(keys: Buffer): void {
    this.#ticketKeys = keys;
    for (const listener of this.#listeners) listener.secure?.setTicketKeys(keys);
  }

  checks(): Readiness['checks'] {
    const { outage } = this.#house.store;
    return {
      cmdb: outage === undefined ? { ok: true } : { ok: false, detail: outage },
      serving: this.#closing === undefined ? { ok: true } : { ok: false, detail: 'draining' },
    };
  }

  /** Resolves when this node serves what the store has of an app now; the change log would tell it later. */
  async see(app: string): Promise<void> {
    const { router, apps } = this.#house;
    router.forget();
    await apps.refresh(app);
  }

  activity(): ReadonlyMap<string, Activity> {
    return this.#house.uses.activity();
  }

  /** How long requests under way may take when this process ends: those of apps that were put by API, too. */
  get drainMs(): number {
    return longestDrainMs([...this.#apps, ...[...this.#house.apps.values()].map(({ app }) => app)]);
  }

  peerDied(): Promise<void> {
    return this.#house.reconciler.takeOver();
  }

  close(): Promise<void> {
    this.#closing ??= keepAlive(this.#close());
    return this.#closing;
  }

  destroy(): Promise<void> {
    this.#destroying ??= keepAlive(this.#destroy());
    return this.#destroying;
  }

  async #close(): Promise<void> {
    const { logger } = this.#options;
    const { dispatcher, uses } = this.#house;
    const drainMs = this.drainMs;
    logger.info({ drainMs }, 'draining');
    const until = this.#clock.monotonic() + drainMs;
    const deadline = this.#clock.after(drainMs, () => {
      for (const listener of this.#listeners) void listener.destroy();
    });
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    deadline.cancel();
    dispatcher.close();
    await uses.releaseAll(Math.max(0, until - this.#clock.monotonic()));
    await this.#end();
    logger.info('closed');
  }

  async #destroy(): Promise<void> {
    this.#house.dispatcher.close();
    for (const listener of this.#listeners) void listener.destroy();
    await this.#house.uses.releaseAll(0);
    await this.#end();
  }

  #end(): Promise<void> {
    this.#ending ??= this.#endOnce();
    return this.#ending;
  }

  async #endOnce(): Promise<void> {
    const { stopApps } = this.#options;
    const { session, store, forwarder } = this.#house;
    await Promise.all([this.#house.stop(), this.#surroundings.onEnd?.()]);
    if (store.outage === undefined) {
      await this.#stopApps(stopApps ? 'all' : 'removed');
      this.left = await this.#leftRunning();
    }
    await session.leave();
    await forwarder.close();
    await this.#accessLog?.close();
    await Promise.all([...this.#runtimes.values()].map((runtime) => runtime.close()));
    await this.cmdb.close();
  }

  #leftRunning(): Promise<LeftRunning | undefined> {
    return leftRunning(this.cmdb, (instance) => sees(this.#house.sight, instance)).catch(() => undefined);
  }

  async #stopApps(which: 'all' | 'removed'): Promise<void> {
    const { apps, session, terminator, sight } = this.#house;
    const { cmdb } = this;
    await stopAll({ cmdb, apps, terminator, sight, me: session.incarnation, clock: this.#clock, which }).catch(
      (error: unknown) => {
        this.#options.logger.warn({ err: error }, 'could not end all instances that had to go; they run on');
      },
    );
  }

  /** Opens the process runtime and those of the apps; each stays open until the end. */
  async #openRuntimes(apps: readonly FileApp[]): Promise<void> {
    const wanted = new Set<RuntimeName>(['process']);
    for (const { runtime } of apps) wanted.add(runtime);
    for (const name of wanted) await this.#openRuntime(name, apps);
  }

  /** Those that hold instances of this machine: their apps may have been put by API. */
  async #openRuntimesInUse(): Promise<void> {
    const { config, logger } = this.#options;
    const names = new Set<RuntimeName>();
    try {
      for await (const { deployment } of this.cmdb.list('active')) {
        for (const { host, runtime } of deployment.instances) if (host === config.node.host) names.add(runtime);
      }
    } catch (error) {
      logger.debug({ err: error }, 'which runtimes are in use cannot be told yet');
    }
    for (const runtime of names) {
      await this.#openRuntime(runtime).catch((err: unknown) => {
        logger.warn(
          { err, runtime },
          'a runtime that has instances of this machine cannot be opened: they are not seen',
        );
      });
    }
  }

  #openRuntime(name: RuntimeName, apps: readonly FileApp[] = this.#apps): Promise<void> {
    if (this.#runtimes.has(name)) return Promise.resolve();
    return shared(this.#opening, name, () => this.#openAnew(name, apps));
  }

  async #openAnew(name: RuntimeName, apps: readonly FileApp[]): Promise<void> {
    const { config, logger } = this.#options;
    // With the settings of the start: others need a restart.
    const opened = await openRuntime(name, { ...config, apps }, logger, this.#clock);
    // A daemon beside this one that has another engine is found at the start. One whose engine is away learns it later.
    await opened.learnIdentity?.().catch(() => undefined);
    const runtime = measuredRuntime(opened, this.metrics, this.#clock);
    this.#runtimes.set(name, runtime);
    this.#house.exits.watch(runtime);
  }

  #boundConnections(http: Config['http']): ConnectionBounds {
    const { logger } = this.#options;
    const limit = openFilesLimit();
    const affordable = limit === undefined ? http.maxConnections : affordableConnections(limit);
    const max = Math.min(http.maxConnections, affordable);
    if (max < http.maxConnections) {
      const raise = 'raise the limit (LimitNOFILE of the service, ulimit -n) or lower http.maxConnections';
      logger.warn(
        { openFiles: limit, maxConnections: http.maxConnections, taken: max },
        `this process may open ${limit} files: it takes ${max} connections at a time, not ${http.maxConnections}; ${raise}`,
      );
    }
    const bounds = new ConnectionBounds({
      ...{ max, maxPerClient: http.maxConnectionsPerClient, clients: this.#clients },
      onClosed: (cause, address) => {
        this.metrics.connectionClosed(cause);
        this.#limit.log(`connection ${cause}`, { client: address, cause, open: bounds.open }, closedMessages[cause]);
      },
    });
    this.metrics.follow({ connections: () => bounds.open });
    return bounds;
  }

  #secureTerms(): SecureTerms {
    if (!this.#certificates) throw new Error('there are no certificates to listen with');
    return {
      ...this.#options.config.tls,
      certificates: this.#certificates,
      ticketKeys: this.#ticketKeys,
      onHandshake: (result) => this.metrics.handshake(result),
    };
  }

  async #listen(address: Config['listen']['http'][number], tls?: SecureTerms): Promise<string> {
    const { dispatcher } = this.#house;
    const listener = createListener({
      ...this.#options.config.http,
      bounds: this.#bounds,
      ...(tls && { tls }),
      ...(address.http2 !== false && {
        http2: {
          ...this.#options.config.http,
          onFlood: (socket, kind) => {
            this.metrics.connectionClosed('flood');
            const client = this.#clients.peerOf(socket).address;
            this.#limit.log('flood', { client, kind }, `a client's connection was closed: it sent too much of ${kind}`);
          },
        },
      }),
      ...(address.proxyProtocol && {
        proxied: {
          clients: this.#clients,
          onRefused: (socket, reason) => {
            this.metrics.connectionClosed('proxy_header');
            const fields = { proxy: this.#clients.peerOf(socket).address, reason };
            this.#limit.log('proxy header', fields, `a connection of a trusted proxy was closed: ${reason}`);
          },
        },
      }),
      onRequest: this.#challenges && !tls ? challengesFirst(this.#challenges, dispatcher.handle) : dispatcher.handle,
      onUpgrade: dispatcher.upgrade,
      onRefused: (error, socket) => {
        const { code, reference, message: detail } = error;
        const client = this.#clients.peerOf(socket).address;
        this.metrics.refused(code);
        this.#limit.log(
          `refused ${code}`,
          { code, reference, client, detail: detail.slice(0, 500) },
          'request refused',
        );
      },
      onAcceptFailed: (error) => {
        this.metrics.connectionClosed('accept_failed');
        this.#limit.log('accept', { err: error }, 'a connection could not be accepted');
      },
    });
    this.#listeners.push(listener);
    return listener.listen(address, this.#options.sockets?.get(formatListenAddress(address)));
  }
}

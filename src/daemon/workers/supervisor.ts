import type { Activity } from '../../model/why.js';
import type { Logger } from 'pino';
import { openCmdb } from '../adapters.js';
import type { Readiness } from '../../admin/health-routes.js';
import { Follower } from '../../membership/follower.js';
import { defaultSessionTiming } from '../../membership/session-timing.js';
import { StoreWatch } from './store-watch.js';
import type { Cmdb } from '../../cmdb/cmdb.js';
import type { Config } from '../../config/config.js';
import { ConfigHealth } from '../../config/config-health.js';
import { Control } from '../control.js';
import { type Addresses, createWorkerNode, type Daemon, type DaemonOptions } from '../daemon.js';
import { longestDrainMs } from '../drain-time.js';
import { DaemonTls } from '../tls-supply.js';
import { readHostMemory } from '../../machine/host-memory.js';
import { keepAlive } from '../keep-alive.js';
import { identify } from '../../machine/proc-fs.js';
import type { App } from '../../model/app.js';
import type { Location } from '../../model/instance.js';
import { systemClock } from '../../machine/system-clock.js';
import { measuredCmdb } from '../../telemetry/measured-cmdb.js';
import { MergedMetrics } from '../../telemetry/merged-metrics.js';
import { Metrics } from '../../telemetry/metrics.js';
import { UnreadableRecords } from '../../telemetry/unreadable-records.js';
import { WorkerMetrics } from '../../telemetry/worker-metrics.js';
import { type LeftRunning, leftRunning } from '../../terminate/left-running.js';
import { mergeChecks } from './merged-checks.js';
import type { Order } from './messages.js';
import { SharedSockets } from './shared-sockets.js';
import { defaultSupervisionTiming, type SupervisionTiming } from './supervision-timing.js';
import { afterReload, reloadOf, workerConfig } from './worker-config.js';
import { WorkerPool } from './worker-pool.js';

export interface SupervisorOptions extends DaemonOptions {
  readonly supervision?: Partial<SupervisionTiming>;
  /** Whether workers log for people. */
  readonly pretty?: boolean;
}

/**
 * A daemon of several worker processes that share its addresses. It is no node itself: it keeps the workers alive, and
 * does what a daemon does once, whatever their number.
 */
export function createSupervisor(options: SupervisorOptions): Daemon {
  return new Supervisor(options);
}

/** Beyond the time that requests have: what the rooms do before a process ends. */
const endMs = 15_000;

class Supervisor implements Daemon {
  readonly #options: SupervisorOptions;
  readonly #timing: SupervisionTiming;
  readonly #metrics = new Metrics();
  readonly #workerMetrics = new WorkerMetrics(this.#metrics.registry);
  readonly #merged = new MergedMetrics(this.#metrics.registry);
  readonly #logger: Logger;
  readonly #cmdb: Cmdb;
  readonly #store: StoreWatch;
  readonly #control: Control;
  readonly #follower: Follower;
  readonly #sockets = new SharedSockets();
  readonly #pool: WorkerPool;
  /** Undefined without HTTPS. */
  readonly #tls: DaemonTls | undefined;
  /** Settings as they were at the start, apps as they are. */
  #config: Config;
  /** The configuration that every worker has; undefined if they may differ. */
  #taken: Config | undefined;
  #applied: Order = { kind: 'applied' };
  #closing: Promise<void> | undefined;
  #destroying: Promise<void> | undefined;
  #left: LeftRunning | undefined;

  constructor(options: SupervisorOptions) {
    const { config, version, logger } = options;
    this.#options = options;
    this.#config = config;
    this.#taken = config;
    this.#logger = logger;
    this.#timing = { ...defaultSupervisionTiming, ...options.supervision };
    const unreadable = new UnreadableRecords({ logger, onForgedApp: (app) => this.#control.appForged(app) });
    this.#cmdb = measuredCmdb(openCmdb(config, logger, unreadable.report), this.#metrics, systemClock);
    this.#store = new StoreWatch({
      cmdb: this.#cmdb,
      host: config.node.host,
      process: identify(process.pid),
      clock: systemClock,
      logger,
      timing: options.timing?.session ?? defaultSessionTiming,
      onReplaced: () => void this.#control.apply(this.#config, { force: true }),
    });
    this.#tls =
      config.listen.https.length === 0
        ? undefined
        : new DaemonTls({
            ...{ tls: config.tls, installation: config.cmdb.name, cmdb: this.#cmdb, clock: systemClock, logger },
            onOrder: (result) => this.#metrics.certificateOrder(result),
            onBrokenRecord: () => this.#metrics.brokenRecord(),
            onChanged: () => this.#pool.tell({ kind: 'certificates-changed' }),
            onTicketKeys: (keys) => this.#pool.tell(ticketKeysOrder(keys)),
          });
    this.#pool = this.#createPool();
    this.#follower = new Follower({
      ...{ cmdb: this.#cmdb, clock: systemClock, logger },
      onChanges: async ({ changes, gap }) => {
        // Another store lacks what was applied to the old one: it is not compared with the files before.
        if (gap) await this.#store.look();
        this.#control.storeChanged(gap ? 'all' : changes.map(({ app }) => app));
        const names = changes.filter(({ version }) => version === undefined).map(({ app }) => app);
        if (gap || names.length > 0) this.#control.appsChanged(gap ? 'all' : names);
      },
      onInterrupted: () => void this.#store.look(),
    });
    this.#control = new Control({
      ...{ config, version, logger, cmdb: this.#cmdb, unreadable, metrics: this.#metrics, clock: systemClock },
      readMemory: options.readMemory ?? (() => readHostMemory()),
      health: options.health ?? new ConfigHealth(config),
      tls: this.#tls,
      onApplied: (identity) => this.#onApplied(identity),
      exposition: { contentType: this.#metrics.registry.contentType, metrics: () => this.#exposition() },
      serving: {
        storeIdentity: () => this.#store.health.identity,
        nodes: () => this.#store.look().then(() => this.#store.nodes),
        isComplete: () => this.#store.health.isComplete,
        checks: () => this.#checks(),
        activity: () => this.#activity(),
        see: (app) => this.#see(app),
      },
    });
  }

  async start(): Promise<Addresses & { admin: string }> {
    const { http, https } = this.#config.listen;
    await keepAlive(this.#sockets.open([...http, ...https], systemClock));
    await this.#store.start();
    await this.#control.apply(this.#config);
    this.#follower.start();
    const addresses = await this.#pool.start();
    return { ...addresses, admin: await this.#control.listen() };
  }

  async reload(next: Config): Promise<void> {
    const config = afterReload(this.#options.config, next);
    const before = this.#config;
    // A worker that starts meanwhile starts with these.
    this.#config = config;
    try {
      await this.#takeOver(config);
    } catch (error) {
      this.#config = before;
      // Nothing else would: files that say again what they said before are no change, and no reload follows.
      await this.#takeOver(before).catch((problem: unknown) => {
        this.#logger.warn({ err: problem }, 'a worker does not go back to the files before');
      });
      // A store that was replaced meanwhile has got what is refused.
      await this.#control.apply(before);
      throw error;
    }
    await this.#control.apply(config);
  }

  async close(): Promise<LeftRunning | undefined> {
    this.#closing ??= keepAlive(this.#close());
    await this.#closing;
    return this.#left;
  }

  destroy(): Promise<void> {
    this.#sockets.close();
    this.#destroying ??= keepAlive(this.#pool.destroy().then(() => this.#end()));
    return this.#destroying;
  }

  /** Gives a configuration to all workers. Throws why one of them refuses it. */
  async #takeOver(config: Config): Promise<void> {
    const taken = this.#taken;
    this.#taken = undefined;
    await this.#pool.reload(reloadOf(taken, config));
    this.#taken = config;
  }

  async #close(): Promise<void> {
    const apps = [...this.#config.apps, ...(await this.#activeApps())];
    const drainMs = longestDrainMs(apps);
    this.#logger.info({ drainMs, workers: this.#pool.workers.length }, 'draining');
    this.#sockets.close();
    const stopMs = apps.reduce((longest, { stopTimeoutMs }) => Math.max(longest, stopTimeoutMs), 0);
    await this.#pool.close(drainMs + stopMs + endMs);
    if (!this.#destroying) await this.#end();
    this.#logger.info('closed');
  }

  /** Those that run were perhaps put by API; none if the store is away. */
  async #activeApps(): Promise<readonly App[]> {
    const apps: App[] = [];
    try {
      for await (const { app } of this.#cmdb.list('active')) apps.push(app);
    } catch (error) {
      this.#logger.debug({ err: error }, 'which apps run cannot be told');
    }
    return apps;
  }

  async #end(): Promise<void> {
    const { stopApps, timing, version } = this.#options;
    await Promise.all([this.#control.close(), this.#store.stop(), this.#follower.stop(), this.#tls?.close()]);
    const { outage } = this.#store.health;
    // It has no runtime: what is this host's counts as seen.
    const isOurs = ({ host }: Location) => host === this.#config.node.host;
    if (outage === undefined && !stopApps) this.#left = await leftRunning(this.#cmdb, isOurs).catch(() => undefined);
    await this.#cmdb.close();
    if (!stopApps || outage !== undefined) return;
    // All workers have ended: one more node, which serves nobody, ends what they left running.
    const told = { config: this.#config, logger: this.#logger, version, stopApps, ...(timing && { timing }) };
    const node = createWorkerNode(told);
    await node.open();
    await node.recover();
    await node.close();
  }

  #createPool(): WorkerPool {
    const { config, logger } = this.#options;
    return new WorkerPool({
      size: config.workers,
      sockets: this.#sockets.all,
      timing: this.#timing,
      clock: systemClock,
      logger,
      certificates: this.#tls?.certificates,
      startOrders: (slot) => [
        ...(this.#tls ? [ticketKeysOrder(this.#tls.ticketKeys)] : []),
        this.#startOrder(slot),
        this.#applied,
      ],
      onReplaced: (slot, reason) => {
        this.#workerMetrics.replaced(reason);
        void this.#merged.ended(slot);
      },
      onHopeless: (error) => this.#options.onFatal?.(error),
    });
  }

  #onApplied(identity: string | undefined): void {
    this.#applied = { kind: 'applied', ...(identity === undefined ? {} : { identity }) };
    this.#pool.tell(this.#applied);
  }

  #startOrder(slot: number): Order {
    const { version, pretty = false, timing } = this.#options;
    const { workers } = this.#config;
    const config = workerConfig(this.#config, workers);
    const { heartbeatMs } = this.#timing;
    return { kind: 'start', slot, config, version, pretty, heartbeatMs, timing };
  }

  #checks(): Readiness['checks'] {
    const { outage } = this.#store.health;
    const silentSince = systemClock.monotonic() - 3 * this.#timing.heartbeatMs;
    return mergeChecks({
      own: {
        cmdb: outage === undefined ? { ok: true } : { ok: false, detail: outage },
        serving: this.#closing === undefined ? { ok: true } : { ok: false, detail: 'draining' },
      },
      workers: this.#pool.serving,
      wanted: this.#config.workers,
      silentSince,
    });
  }

  async #exposition(): Promise<string> {
    const { answerMs } = this.#timing;
    const answers = await Promise.all(
      this.#pool.serving.map(async (worker) => [worker.slot, await worker.ask('metrics', answerMs)] as const),
    );
    const answered = new Map(answers);
    for (let slot = 1; slot <= this.#config.workers; slot += 1) {
      this.#workerMetrics.scraped(slot, answered.get(slot) !== undefined);
    }
    return this.#merged.text(answered);
  }

  async #see(app: string): Promise<void> {
    const { answerMs } = this.#timing;
    await Promise.all(this.#pool.serving.map((worker) => worker.see(app, answerMs)));
  }

  async #activity(): Promise<ReadonlyMap<string, Activity>> {
    const { answerMs } = this.#timing;
    const answers = await Promise.all(this.#pool.serving.map((worker) => worker.ask('activity', answerMs)));
    const sum = new Map<string, Activity>();
    for (const [id, one] of answers.flatMap((answer) => answer ?? [])) sum.set(id, together(sum.get(id), one));
    return sum;
  }
}

/** What goes on at an instance that two processes use. */
function together(a: Activity | undefined, b: Activity): Activity {
  if (!a) return b;
  return {
    inflight: a.inflight + b.inflight,
    counting: a.counting + b.counting,
    users: a.users + b.users,
    lastActiveAt: Math.max(a.lastActiveAt, b.lastActiveAt),
  };
}

function ticketKeysOrder(keys: Buffer): Order {
  return { kind: 'ticket-keys', keys: keys.toString('base64') };
}

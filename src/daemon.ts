import { join } from 'node:path';
import type { Logger } from 'pino';
import { type Admin, createAdmin } from './admin/admin.js';
import { Booter } from './boot/booter.js';
import { BootSlots } from './boot/boot-slots.js';
import { InstanceCheck } from './boot/instance-check.js';
import { Follower } from './check/follower.js';
import { LocalApps } from './check/local-apps.js';
import { isProvedDead } from './check/process-proof.js';
import { Router } from './check/router.js';
import { defaultSessionTiming, NodeSession, type SessionTiming } from './check/session.js';
import { Uses } from './check/uses.js';
import type { Cmdb, ChangeBatch } from './cmdb/cmdb.js';
import { openLmdbCmdb } from './cmdb/lmdb.js';
import { openRedisCmdb } from './cmdb/redis.js';
import { AppSync } from './config/app-sync.js';
import { createAppApplier } from './config/apply-apps.js';
import { lmdbPath } from './config/cmdb-url.js';
import type { Config } from './config/config.js';
import { Dispatcher } from './dispatcher.js';
import { Forwarder } from './forward/forwarder.js';
import { createListener, type Listener } from './forward/listener.js';
import type { RuntimeName } from './model/app.js';
import type { Clock } from './model/clock.js';
import { findInstance } from './model/deployment.js';
import { identify } from './proc-fs.js';
import { openDockerRuntime } from './runtime/docker.js';
import { openProcessRuntime } from './runtime/process.js';
import type { Runtime } from './runtime/runtime.js';
import { systemClock } from './system-clock.js';
import { LogLimit } from './telemetry/log-limit.js';
import { measuredCmdb } from './telemetry/measured-cmdb.js';
import { measuredRuntime } from './telemetry/measured-runtime.js';
import { createMetrics, type Metrics } from './telemetry/metrics.js';
import { Exits } from './terminate/exits.js';
import { Reaper } from './terminate/reaper.js';
import { Reconciler } from './terminate/reconciler.js';
import { stopAll } from './terminate/stop-all.js';
import { Terminator } from './terminate/terminator.js';

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
}

/** One dispatcher process, composed. */
export interface Daemon {
  /** Resolves to where it listens, when it accepts requests. Throws where an address cannot be bound. */
  start(): Promise<{ readonly http: readonly string[]; readonly admin: string }>;
  /** Takes over a good new configuration; `changes` is for the log. */
  reload(next: Config, changes: readonly string[]): Promise<void>;
  /** Drains this process's own requests, at the latest for the default drainTimeout, and ends. Re-entrant. */
  close(): Promise<void>;
  /** Ends at once; what is under way is broken off. Containers run on. Re-entrant. */
  destroy(): Promise<void>;
}

/** Builds everything and starts nothing. */
export function createDaemon(options: DaemonOptions): Daemon {
  return new Composition(options);
}

/** How long this process's own requests may take to finish, where no app says more. */
const defaultDrainMs = 1_000;

const defaultTiming: DaemonTiming = { session: defaultSessionTiming, reconcilePeriodMs: 60_000 };

class Composition implements Daemon {
  readonly #options: DaemonOptions;
  readonly #timing: DaemonTiming;
  readonly #clock: Clock = systemClock;
  readonly #metrics: Metrics = createMetrics();
  readonly #runtimes = new Map<RuntimeName, Runtime>();
  readonly #cmdb: Cmdb;
  readonly #apps: LocalApps;
  readonly #session: NodeSession;
  readonly #router: Router;
  readonly #uses: Uses;
  readonly #booter: Booter;
  readonly #forwarder: Forwarder;
  readonly #terminator: Terminator;
  readonly #reaper: Reaper;
  readonly #reconciler: Reconciler;
  readonly #exits: Exits;
  readonly #follower: Follower;
  readonly #appSync: AppSync;
  readonly #dispatcher: Dispatcher;
  readonly #admin: Admin;
  #listeners: Listener[] = [];
  #config: Config;
  #closing: Promise<void> | undefined;
  #destroying: Promise<void> | undefined;
  #ending: Promise<void> | undefined;

  constructor(options: DaemonOptions) {
    const { config, logger } = options;
    const clock = this.#clock;
    const { host } = config.node;
    this.#options = options;
    this.#config = config;
    this.#timing = { ...defaultTiming, ...options.timing };
    const cmdb = measuredCmdb(openCmdb(config, logger), this.#metrics, clock);
    this.#cmdb = cmdb;
    const apps = new LocalApps(cmdb);
    this.#apps = apps;
    const session = new NodeSession({
      cmdb,
      host,
      process: identify(process.pid),
      isProvedDead: (other) => isProvedDead(other, host),
      timing: this.#timing.session,
      clock,
      logger,
      onRenewed: (old) => void this.#uses.renew(old),
      onStoreReplaced: () => void this.#appSync.apply(this.#config.apps, true),
    });
    this.#session = session;
    this.#router = new Router({ cmdb, apps, isComplete: () => session.storeIsComplete });
    this.#forwarder = new Forwarder({ ...config.http, trustedProxies: config.trustedProxies });
    this.#uses = new Uses({
      apps,
      session,
      clock,
      logger,
      onSeatFreed: (local) => this.#booter.seatFreed(local),
      onEnded: (instanceId) => this.#forwarder.endInstance(instanceId),
    });
    this.#terminator = new Terminator({
      cmdb,
      apps,
      runtimes: this.#runtimes,
      logger,
      onTerminated: (runtime, reason) => this.#metrics.terminated(runtime, reason),
    });
    this.#booter = new Booter({
      apps,
      uses: this.#uses,
      session,
      slots: new BootSlots(config.boot.concurrency),
      runtimes: this.#runtimes,
      host,
      clock,
      logger,
      terminate: (app, id) => void this.#terminator.terminate(app, id),
      onBoot: (runtime, result, phases) => this.#metrics.boot(runtime, result, phases),
      onQueue: (app, length) => this.#metrics.queueChanged(app, length),
    });
    this.#reaper = new Reaper({ cmdb, apps, session, terminator: this.#terminator, host, clock, logger });
    this.#reconciler = new Reconciler({
      cmdb,
      apps,
      session,
      runtimes: this.#runtimes,
      reaper: this.#reaper,
      terminator: this.#terminator,
      host,
      clock,
      logger,
      periodMs: this.#timing.reconcilePeriodMs,
    });
    this.#exits = new Exits({ apps, clock, logger });
    this.#follower = new Follower({ cmdb, clock, logger, onChanges: (changes) => this.#follow(changes) });
    const applier = createAppApplier({ cmdb, manifestFile: join(config.stateDir, 'applied-apps.json'), logger });
    this.#appSync = new AppSync({ applier, identity: () => session.storeIdentity, clock, logger });
    this.#dispatcher = this.#createDispatcher(logger);
    this.#metrics.setInstanceSource(async function* () {
      for await (const { deployment } of cmdb.list('active')) {
        for (const { state } of deployment.instances) yield state;
      }
    });
    this.#admin = this.#createAdmin(logger);
  }

  async start(): Promise<{ http: readonly string[]; admin: string }> {
    const { config } = this.#options;
    await this.#openRuntimes(config);
    await this.#session.start();
    await this.#appSync.apply(config.apps);
    this.#follower.start();
    await this.#reconciler.recover().catch((error: unknown) => {
      this.#options.logger.debug({ err: error }, 'nothing recovered yet');
    });
    this.#reaper.start();
    this.#reconciler.start();
    try {
      const http = await Promise.all(config.listen.http.map((address) => this.#listen(address)));
      return { http, admin: await this.#admin.listen() };
    } catch (error) {
      await this.destroy();
      throw error;
    }
  }

  async reload(next: Config, changes: readonly string[]): Promise<void> {
    this.#config = next;
    for (const change of changes) this.#options.logger.info({ change }, 'the configuration changed');
    await this.#openRuntimes(next);
    await this.#appSync.apply(next.apps);
  }

  close(): Promise<void> {
    this.#closing ??= keepAlive(this.#close());
    return this.#closing;
  }

  destroy(): Promise<void> {
    this.#destroying ??= keepAlive(this.#destroy());
    return this.#destroying;
  }

  async #destroy(): Promise<void> {
    this.#dispatcher.close();
    for (const listener of this.#listeners) void listener.destroy();
    await this.#uses.releaseAll(0);
    await this.#end();
  }

  async #close(): Promise<void> {
    const { logger } = this.#options;
    const drainMs = Math.max(defaultDrainMs, ...this.#config.apps.map(({ drainTimeoutMs }) => drainTimeoutMs));
    logger.info({ drainMs }, 'draining');
    const until = this.#clock.monotonic() + drainMs;
    const deadline = this.#clock.after(drainMs, () => {
      for (const listener of this.#listeners) void listener.destroy();
    });
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    deadline.cancel();
    this.#dispatcher.close();
    await this.#uses.releaseAll(Math.max(0, until - this.#clock.monotonic()));
    await this.#end();
    logger.info('closed');
  }

  async #end(): Promise<void> {
    this.#ending ??= this.#endOnce();
    return this.#ending;
  }

  async #endOnce(): Promise<void> {
    const { stopApps, config } = this.#options;
    this.#appSync.stop();
    this.#exits.stop();
    await Promise.all([this.#booter.stop(), this.#reaper.stop(), this.#reconciler.stop(), this.#admin.close()]);
    await this.#terminator.settled();
    if (stopApps) {
      const me = this.#session.incarnation;
      const { host } = config.node;
      await stopAll({ cmdb: this.#cmdb, apps: this.#apps, terminator: this.#terminator, host, me, clock: this.#clock });
    }
    await this.#follower.stop();
    await this.#session.leave();
    await this.#forwarder.close();
    await Promise.all([...this.#runtimes.values()].map((runtime) => runtime.close()));
    await this.#cmdb.close();
  }

  /** What the change log tells: domains may lead elsewhere, known apps are read again, changed ones looked at. */
  async #follow(batch: ChangeBatch): Promise<void> {
    const appChanges = batch.changes.filter(({ version }) => version === undefined);
    if (batch.lost || appChanges.length > 0) this.#router.forget();
    if (batch.lost) return this.#apps.refreshAll();
    await Promise.all(batch.changes.map(({ app, version }) => this.#apps.refresh(app, version)));
    await Promise.all(appChanges.map(({ app }) => this.#reaper.look(app)));
  }

  async #openRuntimes(config: Config): Promise<void> {
    const wanted = new Set<RuntimeName>(['process', ...config.apps.map(({ runtime }) => runtime)]);
    for (const name of wanted) {
      if (this.#runtimes.has(name) || name === 'oci') continue;
      const opened = await openRuntime(name, config, this.#options.logger, this.#clock);
      const runtime = measuredRuntime(opened, this.#metrics, this.#clock);
      this.#runtimes.set(name, runtime);
      this.#exits.watch(runtime);
    }
  }

  async #listen(address: Config['listen']['http'][number]): Promise<string> {
    const listener = createListener({
      ...this.#config.http,
      onRequest: this.#dispatcher.handle,
      onUpgrade: this.#dispatcher.upgrade,
      onRefused: (error) => this.#metrics.refused(error.code),
    });
    this.#listeners.push(listener);
    return listener.listen(address);
  }

  #createDispatcher(logger: Logger): Dispatcher {
    const metrics = this.#metrics;
    const limit = new LogLimit({ clock: this.#clock, logger });
    return new Dispatcher({
      session: this.#session,
      router: this.#router,
      booter: this.#booter,
      forwarder: this.#forwarder,
      instanceCheck: new InstanceCheck({
        runtimeOf: ({ app, instanceId }) => {
          const deployment = this.#apps.get(app.name)?.deployment;
          const instance = deployment && findInstance(deployment, instanceId);
          const isHere = instance?.host === this.#config.node.host;
          return isHere ? this.#runtimes.get(instance.runtime) : undefined;
        },
        onDead: (runtime, exit) => this.#exits.report(runtime, exit),
      }),
      clock: this.#clock,
      logRefusal: (fields, message) => limit.warn(`${String(fields['code'])} ${String(fields['app'])}`, fields, message),
      logger,
      onRequest: ({ app, code, cold, durationMs, outcome, errorCode }) => {
        if (app === undefined) metrics.refused(errorCode ?? 'bad_request');
        else metrics.request(app, code, cold ? 'cold' : 'warm', durationMs, outcome, errorCode);
      },
    });
  }

  #createAdmin(logger: Logger): Admin {
    const { config, version } = this.#options;
    return createAdmin({
      ...config.admin,
      version,
      metrics: this.#metrics,
      logger,
      readiness: () => this.#readiness(),
      apps: () => this.#cmdb.list('all'),
      activeApps: () => this.#cmdb.list('active'),
      app: (name) => this.#cmdb.find({ app: name }),
      localUse: (instanceId) => this.#uses.inflight(instanceId),
    });
  }

  #readiness(): { ready: boolean; checks: Record<string, { ok: boolean; detail?: string }> } {
    const { outage } = this.#session;
    const checks = {
      cmdb: { ok: outage === undefined, ...(outage === undefined ? {} : { detail: outage }) },
      apps: { ok: this.#appSync.isApplied },
      serving: { ok: this.#closing === undefined },
    };
    return { ready: Object.values(checks).every(({ ok }) => ok), checks };
  }
}

function openCmdb({ cmdb }: Config, logger: Logger): Cmdb {
  const path = lmdbPath(cmdb.url);
  const onUnreadable = (record: string, problem: string) => {
    logger.error({ record, problem }, 'a record in the CMDB cannot be read; it is skipped');
  };
  return path === undefined
    ? openRedisCmdb({ ...cmdb, logger, onUnreadable })
    : openLmdbCmdb({ path, onUnreadable });
}

async function openRuntime(name: 'process' | 'docker', config: Config, logger: Logger, clock: Clock): Promise<Runtime> {
  const { cmdb, node, runtimes } = config;
  const { advertise } = node;
  const common = { cmdbName: cmdb.name, logger, clock, ...(advertise === undefined ? {} : { advertiseHost: advertise }) };
  if (name === 'docker') return openDockerRuntime({ ...common, ...runtimes.docker });
  return openProcessRuntime({ ...common, ...runtimes.process, ...(advertise === undefined ? {} : { bindHost: advertise }) });
}

/** No timer of the rooms keeps the process alive; while it ends in good order, this does. */
async function keepAlive(work: Promise<void>): Promise<void> {
  const alive = setInterval(() => {}, 1_000);
  try {
    await work;
  } finally {
    clearInterval(alive);
  }
}

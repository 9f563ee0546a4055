import { join } from 'node:path';
import type { Logger } from 'pino';
import { type Admin, createAdmin, type Readiness } from './admin/admin.js';
import { defaultSessionTiming, type SessionTiming } from './check/session-timing.js';
import type { Cmdb } from './cmdb/cmdb.js';
import { openLmdbCmdb } from './cmdb/lmdb.js';
import { openRedisCmdb } from './cmdb/redis.js';
import { AppSync } from './config/app-sync.js';
import { createAppApplier } from './config/apply-apps.js';
import { lmdbPath } from './config/cmdb-url.js';
import type { Config } from './config/config.js';
import { Forwarder } from './forward/forwarder.js';
import { createListener, type Listener } from './forward/listener.js';
import type { ReadMemory } from './host-memory.js';
import { House } from './house.js';
import { thisMachine } from './machine.js';
import type { RuntimeName } from './model/app.js';
import type { Clock } from './model/clock.js';
import { openDockerRuntime } from './runtime/docker.js';
import { openProcessRuntime } from './runtime/process.js';
import type { Runtime } from './runtime/runtime.js';
import { systemClock } from './system-clock.js';
import { measuredCmdb } from './telemetry/measured-cmdb.js';
import { measuredRuntime } from './telemetry/measured-runtime.js';
import { Metrics } from './telemetry/metrics.js';
import { stopAll } from './terminate/stop-all.js';

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
  /** How much memory there is; this host's own where absent. */
  readonly readMemory?: ReadMemory;
}

/** One dispatcher process, composed. */
export interface Daemon {
  /** Resolves to where it listens, when it accepts requests. Rejects where an address cannot be bound. */
  start(): Promise<{ readonly http: readonly string[]; readonly admin: string }>;
  /** Takes over a good new configuration; `changes` says in words what is different. */
  reload(next: Config, changes: readonly string[]): Promise<void>;
  /** Drains this process's own requests, for as long as an app's drainTimeout allows, and ends. Re-entrant. */
  close(): Promise<void>;
  /** Ends at once; what is under way is broken off. Containers run on. Re-entrant. */
  destroy(): Promise<void>;
}

/** Builds everything and starts nothing. The only place, with host-checks.ts, that knows the adapters. */
export function createDaemon(options: DaemonOptions): Daemon {
  return new Composition(options);
}

const defaultTiming: DaemonTiming = { session: defaultSessionTiming, reconcilePeriodMs: 60_000 };

/** How long this process's own requests may take to finish, where no app says more. */
const defaultDrainMs = 1_000;

class Composition implements Daemon {
  readonly #options: DaemonOptions;
  readonly #clock: Clock = systemClock;
  readonly #metrics = new Metrics();
  readonly #runtimes = new Map<RuntimeName, Runtime>();
  readonly #cmdb: Cmdb;
  readonly #house: House;
  readonly #appSync: AppSync;
  readonly #admin: Admin;
  #listeners: Listener[] = [];
  #config: Config;
  #closing: Promise<void> | undefined;
  #destroying: Promise<void> | undefined;
  #ending: Promise<void> | undefined;

  constructor(options: DaemonOptions) {
    const { config, logger } = options;
    const here = thisMachine(config.node.host);
    const machine = { ...here, readMemory: options.readMemory ?? here.readMemory };
    this.#options = options;
    this.#config = config;
    const timing = { ...defaultTiming, ...options.timing };
    const cmdb = measuredCmdb(openCmdb(config, logger), this.#metrics, this.#clock);
    this.#cmdb = cmdb;
    this.#house = new House({
      cmdb,
      runtimes: this.#runtimes,
      config,
      metrics: this.#metrics,
      clock: this.#clock,
      machine,
      forwarder: new Forwarder({ ...config.http, trustedProxies: config.trustedProxies }),
      logger,
      sessionTiming: timing.session,
      reconcilePeriodMs: timing.reconcilePeriodMs,
      onStoreReplaced: () => void this.#appSync.apply(this.#config.apps, true),
    });
    const applier = createAppApplier({ cmdb, manifestFile: join(config.stateDir, 'applied-apps.json'), logger });
    const identity = () => this.#house.session.storeIdentity;
    this.#appSync = new AppSync({ applier, identity, clock: this.#clock, logger });
    this.#metrics.setInstanceSource(async function* () {
      for await (const { deployment } of cmdb.list('active')) {
        for (const { state } of deployment.instances) yield state;
      }
    });
    this.#metrics.setMemorySource(machine.readMemory);
    this.#admin = this.#createAdmin();
  }

  async start(): Promise<{ http: readonly string[]; admin: string }> {
    const { config, logger } = this.#options;
    const { session, follower, reaper, reconciler, memoryRelief } = this.#house;
    await this.#openRuntimes(config);
    await session.start();
    await this.#appSync.apply(config.apps);
    follower.start();
    await reconciler.recover().catch((error: unknown) => logger.debug({ err: error }, 'nothing recovered yet'));
    reaper.start();
    reconciler.start();
    memoryRelief.start();
    const http = await Promise.all(config.listen.http.map((address) => this.#listen(address)));
    return { http, admin: await this.#admin.listen() };
  }

  async reload(next: Config, _changes: readonly string[]): Promise<void> {
    this.#config = next;
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

  async #close(): Promise<void> {
    const { logger } = this.#options;
    const { dispatcher, uses } = this.#house;
    const drainMs = Math.max(defaultDrainMs, ...this.#config.apps.map(({ drainTimeoutMs }) => drainTimeoutMs));
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
    const { stopApps, config } = this.#options;
    const { apps, session, booter, circulator, reaper, reconciler, exits, terminator, follower, forwarder } =
      this.#house;
    const { memoryRelief } = this.#house;
    this.#appSync.stop();
    exits.stop();
    await Promise.all([booter.stop(), circulator.stop(), memoryRelief.stop()]);
    await Promise.all([reaper.stop(), reconciler.stop(), this.#admin.close()]);
    await terminator.settled();
    if (stopApps && session.outage === undefined) {
      const { host } = config.node;
      await stopAll({ cmdb: this.#cmdb, apps, terminator, host, me: session.incarnation, clock: this.#clock });
    }
    await follower.stop();
    await session.leave();
    await forwarder.close();
    await Promise.all([...this.#runtimes.values()].map((runtime) => runtime.close()));
    await this.#cmdb.close();
  }

  /** The process runtime, and what the apps run on; one that was opened stays until the end. */
  async #openRuntimes(config: Config): Promise<void> {
    for (const name of new Set<RuntimeName>(['process', ...config.apps.map(({ runtime }) => runtime)])) {
      if (this.#runtimes.has(name) || name === 'oci') continue;
      const opened = await openRuntime(name, config, this.#options.logger, this.#clock);
      const runtime = measuredRuntime(opened, this.#metrics, this.#clock);
      this.#runtimes.set(name, runtime);
      this.#house.exits.watch(runtime);
    }
  }

  async #listen(address: Config['listen']['http'][number]): Promise<string> {
    const { dispatcher } = this.#house;
    const listener = createListener({
      ...this.#config.http,
      onRequest: dispatcher.handle,
      onUpgrade: dispatcher.upgrade,
      onRefused: (error) => this.#metrics.refused(error.code),
    });
    this.#listeners.push(listener);
    return listener.listen(address);
  }

  #createAdmin(): Admin {
    const { config, version, logger } = this.#options;
    return createAdmin({
      ...config.admin,
      version,
      metrics: this.#metrics,
      logger,
      readiness: () => this.#readiness(),
      apps: () => this.#cmdb.list('all'),
      activeApps: () => this.#cmdb.list('active'),
      app: (name) => this.#cmdb.find({ app: name }),
      localUse: (instanceId) => this.#house.uses.inflight(instanceId),
    });
  }

  #readiness(): Readiness {
    const { outage } = this.#house.session;
    const checks = {
      cmdb: outage === undefined ? { ok: true } : { ok: false, detail: outage },
      apps: this.#appSync.isApplied ? { ok: true } : { ok: false, detail: 'not yet written to the CMDB' },
      serving: this.#closing === undefined ? { ok: true } : { ok: false, detail: 'draining' },
    };
    return { ready: Object.values(checks).every(({ ok }) => ok), checks };
  }
}

function openCmdb({ cmdb }: Config, logger: Logger): Cmdb {
  const path = lmdbPath(cmdb.url);
  const onUnreadable = (record: string, problem: string) => {
    logger.error({ record, problem }, 'a record in the CMDB cannot be read; it is skipped');
  };
  return path === undefined ? openRedisCmdb({ ...cmdb, logger, onUnreadable }) : openLmdbCmdb({ path, onUnreadable });
}

async function openRuntime(name: 'process' | 'docker', config: Config, logger: Logger, clock: Clock): Promise<Runtime> {
  const { cmdb, node, runtimes } = config;
  const { advertise } = node;
  const common = {
    cmdbName: cmdb.name,
    logger,
    clock,
    ...(advertise === undefined ? {} : { advertiseHost: advertise }),
  };
  if (name === 'docker') return openDockerRuntime({ ...common, ...runtimes.docker });
  const bind = advertise === undefined ? {} : { bindHost: advertise };
  return openProcessRuntime({ ...common, ...bind, ...runtimes.process });
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

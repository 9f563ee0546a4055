import type { Logger } from 'pino';
import type { Session } from '../../src/cmdb/cmdb.js';
import { AppSync } from '../../src/config/app-sync.js';
import type { AppFiles } from '../../src/config/apply-apps.js';
import { FileApps } from '../../src/daemon/file-apps.js';
import type { Config } from '../../src/config/config.js';
import { createHouse, type ForwardRoom, type House } from '../../src/daemon/house.js';
import type { Machine } from '../../src/daemon/machine.js';
import type { App } from '../../src/model/app.js';
import { Link, type LinkOptions } from './link.js';
import type { Metrics } from '../../src/telemetry/metrics.js';
import type { Random } from './random.js';
import { SimCmdb } from './sim-cmdb.js';
import type { SimProcess } from './sim-process.js';
import type { SimRuntime } from './sim-runtime.js';

export interface SimNodeOptions extends Omit<LinkOptions, 'random'> {
  readonly host: string;
  readonly bootSlots: number;
  readonly random: Random;
  readonly process: SimProcess;
  readonly runtime: SimRuntime;
  readonly forwarder: ForwardRoom;
  readonly probe: Machine['probe'];
  readonly isProvedDead: (session: Session) => boolean;
  readonly logger: Logger;
  readonly outageGraceMs: number;
  /** What the files say now. */
  readonly files: () => { readonly put: readonly App[]; readonly remove: readonly string[] };
  /** Plants a bug into the client of the store. */
  readonly disguise: (cmdb: SimCmdb) => SimCmdb;
}

/** One life of a whole node: the house as daemon.ts runs it, without sockets and files. */
export class SimNode {
  readonly process: SimProcess;
  readonly house: House;
  readonly links: readonly Link[];
  readonly #cmdb: SimCmdb;
  readonly #appSync: AppSync;
  readonly #runtime: SimRuntime;
  accepts = false;

  constructor(options: SimNodeOptions) {
    const { process, runtime, random, host, logger, outageGraceMs, files } = options;
    const { clock } = process;
    this.process = process;
    this.#runtime = runtime;
    const link = (name: string) => new Link({ ...options, random: random.fork(name) });
    this.links = [link('link'), link('log')];
    const [main, logLink] = this.links as [Link, Link];
    const cmdb = options.disguise(new SimCmdb({ link: main, logLink, clock, random: random.fork('cmdb') }));
    this.#cmdb = cmdb;
    const ids = random.fork('ids');
    const fileApps = new FileApps(files().put);
    this.house = createHouse({
      cmdb,
      runtimes: new Map([['process', runtime]]),
      config: {
        node: { host, advertise: host },
        boot: { concurrency: options.bootSlots, maxWaiting: 100_000 },
        memory: {},
        wake: { budget: {} },
        workers: 1,
        http: { serverTiming: true, maxHeaderLines: 500, maxUrlSizeBytes: 8_192, maxConnectionAgeMs: 3_600_000 },
      } as Config,
      metrics: silentMetrics,
      clock,
      machine: {
        process: { pid: process.pid, startTime: '1', bootId: host },
        isProvedDead: options.isProvedDead,
        randomBytes: (size) => ids.bytes(size),
        probe: options.probe,
        readMemory: () => undefined,
      },
      forwarder: options.forwarder,
      logger,
      sessionTiming: { ttlMs: 10_000, beatMs: 3_000, outageGraceMs },
      reconcilePeriodMs: 60_000,
      fileApps,
      onStoreReplaced: () => void this.applyFiles(),
    });
    this.#appSync = new AppSync({
      applier: {
        withheld: undefined,
        apply: () => {
          fileApps.read(files().put);
          return cmdb.apply(files());
        },
      },
      onApplied: (identity) => fileApps.applied(identity),
      identity: () => this.house.store.identity,
      clock,
      logger,
    });
  }

  async start(): Promise<void> {
    const { session, follower, reaper, reconciler, restoration, exits, addressWatch } = this.house;
    exits.watch(this.#runtime);
    await session.start();
    await this.applyFiles();
    restoration.begin('start');
    follower.start();
    await reconciler.recover().catch(() => {});
    reaper.start();
    reconciler.start();
    addressWatch.start();
    this.accepts = true;
  }

  applyFiles(): Promise<void> {
    return this.#appSync.apply({ apps: [] as readonly App[] } as AppFiles, { force: true });
  }

  /** Ends when the listeners have drained, as the daemon does it on SIGTERM. */
  async close(): Promise<void> {
    const { dispatcher, uses, apps, session } = this.house;
    dispatcher.close();
    await uses.releaseAll(0);
    this.#appSync.stop();
    await this.house.stop();
    await session.leave();
    await this.#runtime.close();
    await this.#cmdb.close();
    for (const local of apps.values()) apps.letGo(local);
    this.process.kill();
  }
}

/** Counts nothing, whatever is counted. */
const silentMetrics = new Proxy({}, { get: () => () => {} }) as Metrics;

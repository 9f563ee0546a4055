import type { Logger } from 'pino';
import { type Admin, type AdminOptions, createAdmin } from '../admin/admin.js';
import type { Readiness } from '../admin/health-routes.js';
import type { NodeStatus } from '../admin/node-routes.js';
import { StoreChanges } from '../admin/store-changes.js';
import type { Cmdb, Conflict } from '../cmdb/cmdb.js';
import { AppDifferences } from '../config/app-differences.js';
import { AppSync } from '../config/app-sync.js';
import { type AppFiles, type ApplyOptions, createAppApplier, describeConflict } from '../config/apply-apps.js';
import { storeWarnings } from '../config/cmdb-url.js';
import type { Config } from '../config/config.js';
import { trustWarning } from '../config/trust.js';
import type { ConfigHealth } from '../config/config-health.js';
import { ManifestFile } from '../config/manifest.js';
import type { ReadMemory } from '../machine/host-memory.js';
import type { Clock, Timer } from '../model/clock.js';
import { RequestError } from '../model/errors.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { UnreadableRecords } from '../telemetry/unreadable-records.js';
import type { DaemonTls } from './tls-supply.js';

/** What the control side asks of what serves: the one process, or all workers. */
export interface Serving {
  /** The store's identity as of its last answer. */
  readonly storeIdentity: () => string | undefined;
  /** The nodes that have a session in the store now, or had one at its last answer. */
  readonly nodes: () => Promise<readonly NodeStatus[]>;
  /** False while the store, which was replaced, may lack instances that run. */
  readonly isComplete: () => boolean;
  readonly checks: () => Readiness['checks'];
  readonly activity: AdminOptions['activity'];
  /** Resolves when all processes that serve have seen what the store has of an app now. Rejects if one cannot tell. */
  readonly see: (app: string) => Promise<void>;
}

/** What the files say of apps, and what completes those that are put by API. */
type Files = AppFiles & Pick<Config, 'plans' | 'defaults' | 'admin'>;

export interface ControlOptions {
  readonly config: Config;
  readonly version: string;
  readonly cmdb: Cmdb;
  readonly unreadable: Pick<UnreadableRecords, 'count' | 'summary' | 'has'>;
  readonly serving: Serving;
  /** Gets the gauges of instances and memory, which are read once however many workers there are. */
  readonly metrics: Metrics;
  readonly exposition: AdminOptions['exposition'];
  /** See AppSyncOptions. */
  readonly onApplied: (identity: string | undefined) => void;
  readonly readMemory: ReadMemory;
  readonly health: ConfigHealth;
  /** Absent without HTTPS. */
  readonly tls?: Pick<DaemonTls, 'check' | 'state'> | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

const mendAfterMs = 1_000;
/** Minimum interval between writes of what was forged or has gone. */
const mendEveryMs = 60_000;

/** What a daemon has once, however many processes serve: the apps of its files in the CMDB, and the admin side. */
export class Control {
  readonly #appSync: AppSync;
  readonly #differences: AppDifferences;
  readonly #admin: Admin;
  readonly #options: ControlOptions;
  readonly #changes: StoreChanges;
  /** An app whose record was forged. */
  #forged: string | undefined;
  /** Apps of files here that the store lacks. */
  readonly #missing = new Set<string>();
  #mending: Timer | undefined;
  #mendedAt = -Infinity;
  /** The latest. */
  #files: Files;
  /** Apps that the store refused, and why. */
  #conflicts: readonly Conflict[] = [];
  #warned = false;

  constructor(options: ControlOptions) {
    const { config, cmdb, serving, metrics, clock, logger, version, exposition, readMemory, onApplied } = options;
    this.#options = options;
    this.#changes = new StoreChanges(clock);
    this.#files = config;
    const fileOf = (app: string) => this.#files.appFiles[app];
    const applier = createAppApplier({
      ...{ cmdb, clock, logger },
      host: config.node.host,
      otherHosts: () => this.#otherHosts(),
      manifestFile: new ManifestFile(config.stateDir),
    });
    const onMissing = (apps: readonly string[]) => this.#appsMissing(apps);
    this.#differences = new AppDifferences({ cmdb, fileOf, onMissing, clock, logger });
    this.#appSync = new AppSync({
      ...{ applier, clock, logger },
      identity: serving.storeIdentity,
      onApplied: (identity, conflicts) => {
        this.#conflicts = conflicts;
        const refused = new Set(conflicts.map(({ wantedBy }) => wantedBy));
        if (identity === undefined) this.#differences.suspend();
        else this.#differences.expect(this.#files.apps, refused, identity);
        onApplied(identity);
      },
    });
    for (const warning of storeWarnings(config.cmdb.url)) logger.warn(warning);
    metrics.follow({
      differences: () => this.#differences.count,
      unreadable: () => options.unreadable.count,
      config: () => ({ ...options.health.counts, withheld: this.#appSync.withheld === undefined ? 0 : 1 }),
      instances: async function* () {
        for await (const { deployment } of cmdb.list('active')) {
          for (const { state } of deployment.instances) yield state;
        }
      },
      certificates: () => options.tls?.state,
      memory: readMemory,
    });
    this.#admin = createAdmin({
      ...config.admin,
      tokens: () => this.#files.admin.tokens,
      version,
      exposition,
      logger,
      readiness: () => this.#readiness(),
      cmdb,
      activity: serving.activity,
      inflight: async () => new Map([...(await serving.activity())].map(([id, { inflight }]) => [id, inflight])),
      nodes: () => this.#nodes(),
      host: config.node.host,
      fileOf,
      sources: () => this.#files,
      spread: (app) => this.#spread(app),
      isComplete: serving.isComplete,
      changes: this.#changes,
      pins: config.node.advertise !== undefined,
      clock,
    });
  }

  /** Brings the CMDB to the apps of these files from now on; see AppSync. */
  apply(files: Files, more: Omit<ApplyOptions, 'identity'> = {}): Promise<void> {
    this.#files = files;
    this.#warnOfTrust();
    return this.#appSync.apply(files, more);
  }

  /** The change log named these apps: their record or their deployment changed. */
  storeChanged(names: readonly string[] | 'all'): void {
    this.#changes.tell(names);
  }

  /**
   * Records of these apps changed in the CMDB: whether this machine's files still say the same is looked at, and what was refused
   * because of one of them is tried again.
   */
  appsChanged(names: readonly string[] | 'all'): void {
    this.#differences.look(names);
    const concerns = (conflict: Conflict) =>
      names === 'all' || names.includes('ownedBy' in conflict ? conflict.ownedBy : conflict.wantedBy);
    if (this.#conflicts.some(concerns)) this.#mend(mendAfterMs);
  }

  /** Somebody without the key wrote the record of this app: if a file here has it, it is written again, at most once a minute. */
  appForged(app: string): void {
    if (this.#files.appFiles[app] === undefined) return;
    this.#forged ??= app;
    this.#mend(mendAfterMs);
  }

  /** Another machine removed these though a file here has them. A record that cannot be read is another matter. */
  #appsMissing(apps: readonly string[]): void {
    for (const app of apps) if (!this.#options.unreadable.has(`app ${app}`)) this.#missing.add(app);
    if (this.#missing.size > 0) this.#mend(0);
  }

  /** Writes again what was forged or has gone. */
  #mend(afterMs: number): void {
    const { clock, logger } = this.#options;
    if (this.#mending) return;
    const waitMs = Math.max(afterMs, this.#mendedAt + mendEveryMs - clock.monotonic());
    this.#mending = clock.after(waitMs, () => {
      const app = this.#forged;
      const again = new Set(this.#missing);
      this.#mending = undefined;
      this.#mendedAt = clock.monotonic();
      this.#forged = undefined;
      this.#missing.clear();
      if (app !== undefined) logger.warn({ app }, 'records of apps were forged; writing those of the files here again');
      void this.apply(this.#files, { again, force: app !== undefined });
    });
  }

  /** Answers the admin side from now on; resolves to its address. */
  listen(): Promise<string> {
    return this.#admin.listen();
  }

  async close(): Promise<void> {
    this.#mending?.cancel();
    this.#appSync.stop();
    await this.#differences.stop();
    await this.#admin.close();
  }

  async #nodes(): Promise<readonly NodeStatus[]> {
    const { serving } = this.#options;
    const nodes = await serving.nodes();
    const { cmdb } = serving.checks();
    if (cmdb?.ok === false) throw new RequestError('cmdb_unavailable');
    return nodes;
  }

  async #otherHosts(): Promise<string[]> {
    const { config, serving } = this.#options;
    const hosts = (await serving.nodes()).map(({ session }) => session.host);
    return [...new Set(hosts)].filter((host) => host !== config.node.host);
  }

  /** The change is stored: what keeps a process from seeing it now only makes it later. */
  async #spread(app: string): Promise<'now' | 'soon'> {
    const { serving, logger } = this.#options;
    try {
      await serving.see(app);
      return (await this.#otherHosts()).length === 0 ? 'now' : 'soon';
    } catch (err) {
      logger.debug({ err, app }, 'not every process has seen a change of the API yet');
      return 'soon';
    }
  }

  /** Once, however often the files change. */
  #warnOfTrust(): void {
    const warning = this.#warned ? undefined : trustWarning(this.#files.apps);
    if (warning === undefined) return;
    this.#warned = true;
    this.#options.logger.warn(warning);
  }

  #readiness(): Readiness {
    const apps = this.#appSync.isApplied
      ? { ok: true, ...conflictDetail(this.#conflicts) }
      : { ok: false, detail: 'not yet written to the CMDB' };
    const { withheld } = this.#appSync;
    const removals = withheld === undefined ? { ok: true } : { ok: false, detail: withheld };
    // Forged records must not take the machine out of service: the check only names them.
    const { summary } = this.#options.unreadable;
    const records = { ok: true, ...(summary !== undefined && { detail: summary }) };
    const checks = {
      ...this.#options.serving.checks(),
      apps,
      records,
      configuration: this.#options.health.check,
      ...(this.#options.tls && { certificates: this.#options.tls.check }),
      removals,
    };
    return { ready: Object.values(checks).every(({ ok }) => ok), checks };
  }
}

/** The other apps serve: that some were refused does not take the machine out of service. */
function conflictDetail(conflicts: readonly Conflict[]): { detail?: string } {
  const [first] = conflicts;
  return first ? { detail: `${conflicts.length} refused: ${describeConflict(first)}` } : {};
}

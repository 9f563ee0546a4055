import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from '../libraries/prom-client.js';
import type { RuntimeName } from '../model/app.js';
import type { ErrorCode } from '../model/errors.js';
import type { HostMemory } from '../machine/host-memory.js';
import type { EndReason, InstanceState } from '../model/instance.js';
import type { OutliveReason } from '../model/lifetime.js';
import { RequestMetrics, type RequestOutcome, type Temperature } from './request-metrics.js';

export interface MetricsOptions {
  /** Apps beyond this many share the label `_other`, so that customers cannot grow the memory. */
  readonly maxApps?: number;
}

/** What scrapes read; undefined is absent from them. */
interface Sources {
  /** Of all instances. */
  instances(): AsyncIterable<InstanceState>;
  memory(): HostMemory | undefined;
  /** Of clients. */
  connections(): number;
  /** App files that differ from the CMDB. */
  differences(): number | undefined;
  /** Records of the CMDB. */
  unreadable(): number | undefined;
  /** Of the certificate files. */
  certificates(): { readonly files: number; readonly problems: number } | undefined;
  config(): Partial<Record<'refused' | 'problems' | 'held' | 'withheld', number>>;
}

const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const operationBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 10];
const otherApp = '_other';
/** Wake rules beyond this many share a label. */
const maxRules = 200;

/** All metrics of a node, in their own registry. docs/metrics.md documents the names. */
export class Metrics {
  readonly registry = new Registry();
  readonly #maxApps: number;
  readonly #sources: Sources = {
    instances: async function* () {},
    memory: () => undefined,
    connections: () => 0,
    differences: () => undefined,
    unreadable: () => undefined,
    certificates: () => undefined,
    config: () => ({}),
  };

  constructor({ maxApps = 1_000 }: MetricsOptions = {}) {
    this.#maxApps = maxApps;
    collectDefaultMetrics({ register: this.registry });
    const sources = this.#sources;
    new Gauge({
      name: 'fastcontainer_instances',
      help: 'Instances in the CMDB, by state; absent while it cannot be reached.',
      labelNames: ['state'],
      registers: [this.registry],
      async collect() {
        this.reset();
        try {
          for await (const state of sources.instances()) this.inc({ state });
        } catch {
          // A scrape must not fail because the store cannot be reached: /readyz reports that.
          this.reset();
        }
      },
    });
    this.#count(
      'fastcontainer_memory_available_bytes',
      "Memory that is left on this host, or in the daemon's control group; absent if the system does not tell.",
      () => sources.memory()?.availableBytes,
    );
    this.#count('fastcontainer_connections', 'Client connections that are open.', () => sources.connections());
    this.#count('fastcontainer_app_files_differing', 'Apps whose file on this machine differs from the CMDB.', () =>
      sources.differences(),
    );
    this.#count(
      'fastcontainer_cmdb_unreadable_records',
      'Records of the CMDB that this daemon could not read, including those that are not signed with the key.',
      () => sources.unreadable(),
    );
    this.#count(
      'fastcontainer_certificate_files',
      'Certificate files that tls.certificates and tls.default name; absent without listen.https.',
      () => sources.certificates()?.files,
    );
    this.#count(
      'fastcontainer_certificate_problems',
      'Certificate files, or directories of them, that cannot be used; absent without listen.https.',
      () => sources.certificates()?.problems,
    );
    this.#count(
      'fastcontainer_config_refused',
      'Whether the main file is wrong, so that an older configuration is in force.',
      () => sources.config().refused,
    );
    this.#count(
      'fastcontainer_config_problems',
      'Problems of app files; a hundred or more count as a hundred.',
      () => sources.config().problems,
    );
    this.#count(
      'fastcontainer_config_held_apps',
      'Apps that stay as they were because their files are wrong.',
      () => sources.config().held,
    );
    this.#count(
      'fastcontainer_config_removals_withheld',
      'Whether apps that are no longer in any file stay because they are too many at once.',
      () => sources.config().withheld,
    );
  }

  readonly #requests = new RequestMetrics(this.registry);
  readonly #errors = this.#counter(
    'fastcontainer_errors_total',
    "Answers given in an app's place, by code of the error table.",
    ['app', 'error'],
  );
  readonly #accessLogDropped = this.#counter(
    'fastcontainer_access_log_dropped_total',
    'Lines of the access log that were not written: the disk is full, or slower than the requests.',
    [],
  );
  readonly #boots = this.#counter('fastcontainer_boots_total', 'Boots, by runtime and result.', ['runtime', 'result']);
  readonly #scaleOuts = this.#counter(
    'fastcontainer_scale_outs_total',
    'Boots of further instances of an app, by runtime and result; they are among the boots as well.',
    ['runtime', 'result'],
  );
  readonly #replacements = this.#counter(
    'fastcontainer_replacements_total',
    'Boots of instances to replace others, by reason and result; they are among the boots as well.',
    ['reason', 'result'],
  );
  readonly #memoryWaits = this.#counter(
    'fastcontainer_memory_waits_total',
    'Boots that did not fit beside memory.floor at once, by result.',
    ['result'],
  );
  readonly #phases = this.#histogram(
    'fastcontainer_boot_phase_seconds',
    'Phases of successful boots.',
    ['runtime', 'phase'],
    durationBuckets,
  );
  readonly #pauses = this.#counter('fastcontainer_pauses_total', 'Pauses of idle instances, by runtime and result.', [
    'runtime',
    'result',
  ]);
  readonly #resumes = this.#histogram(
    'fastcontainer_resume_seconds',
    'Resumes of paused instances, until they are ready again.',
    ['runtime', 'result'],
    operationBuckets,
  );
  readonly #terminations = this.#counter(
    'fastcontainer_terminations_total',
    'Instances ended, by runtime and reason.',
    ['runtime', 'reason'],
  );
  readonly #lost = this.#counter(
    'fastcontainer_lost_instances_total',
    'Instances given up because their host has no live node and does not answer, by runtime.',
    ['runtime'],
  );
  readonly #closed = this.#counter(
    'fastcontainer_connections_closed_total',
    'Client connections that this process closed before it served them, by cause.',
    ['cause'],
  );
  readonly #handshakes = this.#counter('fastcontainer_tls_handshakes_total', 'TLS handshakes of clients, by result.', [
    'result',
  ]);
  readonly #wakeVerdicts = this.#counter(
    'fastcontainer_wake_verdicts_total',
    'Requests that a wake rule or budget decided on, by rule and what became of them.',
    ['rule', 'verdict'],
  );
  readonly #wakeRules = new Set<string>();
  readonly #orders = this.#counter(
    'fastcontainer_certificate_orders_total',
    'Certificates ordered from the authority of tls.acme, by result.',
    ['result'],
  );
  readonly #brokenRecords = this.#counter(
    'fastcontainer_certificate_records_broken_total',
    'Reads of records of tls.acme in the store that were not sealed with its key; they are made anew.',
    [],
  );
  readonly #queue = new Gauge({
    name: 'fastcontainer_queue_length',
    help: 'Requests that wait for a boot or a free seat, by app.',
    labelNames: ['app'],
    registers: [this.registry],
  });
  readonly #cmdb = this.#histogram(
    'fastcontainer_cmdb_operation_seconds',
    'Operations on the CMDB.',
    ['operation', 'result'],
    operationBuckets,
  );
  readonly #runtime = this.#histogram(
    'fastcontainer_runtime_operation_seconds',
    'Operations of the runtimes.',
    ['runtime', 'operation', 'result'],
    durationBuckets,
  );

  /** Adds sources that each scrape reads from; what has none is absent, or 0. */
  follow(sources: Partial<Sources>): void {
    Object.assign(this.#sources, sources);
  }

  /** Counts a client connection that was closed, or not accepted. */
  connectionClosed(cause: 'limit' | 'client_limit' | 'room' | 'accept_failed' | 'proxy_header' | 'flood'): void {
    this.#closed.inc({ cause });
  }

  brokenRecord(): void {
    this.#brokenRecords.inc();
  }

  certificateOrder(result: 'ordered' | 'failed' | 'postponed' | 'unsaved' | 'saved' | 'unclean'): void {
    this.#orders.inc({ result });
  }

  handshake(result: 'full' | 'resumed' | 'unknown_name' | 'unavailable' | 'timeout' | 'failed'): void {
    this.#handshakes.inc({ result });
  }

  memoryWait(result: 'fits' | 'refused' | 'dropped'): void {
    this.#memoryWaits.inc({ result });
  }

  /** Counts a request to an app. */
  request(
    app: string,
    code: number,
    temperature: Temperature,
    durationMs: number,
    outcome: RequestOutcome,
    error?: ErrorCode,
  ): void {
    const label = this.#labelOf(app);
    this.#requests.count(label, code, temperature, durationMs, outcome);
    if (error) this.#errors.inc({ app: label, error });
  }

  /** Counts a request that reached no app. */
  accessLogDropped(lines: number): void {
    this.#accessLogDropped.inc(lines);
  }

  refused(error: ErrorCode): void {
    this.#errors.inc({ app: '', error });
  }

  boot(
    runtime: RuntimeName,
    purpose: 'first' | 'scale_out' | 'minimum' | 'replacement',
    result: 'ready' | 'failed' | 'timeout' | 'aborted',
    phases: Readonly<Record<string, number>>,
  ): void {
    this.#boots.inc({ runtime, result });
    if (purpose === 'scale_out') this.#scaleOuts.inc({ runtime, result });
    for (const [phase, ms] of Object.entries(phases)) this.#phases.observe({ runtime, phase }, ms / 1_000);
  }

  replacement(reason: OutliveReason, result: 'ready' | 'failed' | 'timeout' | 'aborted'): void {
    this.#replacements.inc({ reason, result });
  }

  pause(runtime: RuntimeName, result: 'paused' | 'failed'): void {
    this.#pauses.inc({ runtime, result });
  }

  resume(runtime: RuntimeName, result: 'ready' | 'failed', durationMs: number): void {
    this.#resumes.observe({ runtime, result }, durationMs / 1_000);
  }

  terminated(runtime: RuntimeName, reason: EndReason): void {
    this.#terminations.inc({ runtime, reason });
  }

  /** Counts an instance that was given up with its host. */
  lostInstance(runtime: RuntimeName): void {
    this.#lost.inc({ runtime });
  }

  queueChanged(app: string, length: number): void {
    this.#queue.set({ app: this.#labelOf(app) }, length);
  }

  cmdb(operation: string, result: 'ok' | 'error', durationMs: number): void {
    this.#cmdb.observe({ operation, result }, durationMs / 1_000);
  }

  runtime(runtime: RuntimeName, operation: string, result: 'ok' | 'error', durationMs: number): void {
    this.#runtime.observe({ runtime, operation, result }, durationMs / 1_000);
  }

  wakeVerdict(rule: string, verdict: 'woken' | 'denied' | 'counted' | 'uncounted'): void {
    if (this.#wakeRules.size < maxRules) this.#wakeRules.add(rule);
    this.#wakeVerdicts.inc({ rule: this.#wakeRules.has(rule) ? rule : otherApp, verdict });
  }

  #labelOf(app: string): string {
    if (this.#requests.has(app)) return app;
    if (this.#requests.size >= this.#maxApps) return otherApp;
    this.#requests.open(app);
    return app;
  }

  /** A gauge that calls `figure` at each scrape; absent while that gives undefined. */
  #count(name: string, help: string, figure: () => number | undefined): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        const count = figure();
        if (count === undefined) this.reset();
        else this.set(count);
      },
    });
  }

  #counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  #histogram(name: string, help: string, labelNames: string[], buckets: number[]): Histogram {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.registry] });
  }
}

import { AggregatorRegistry, type Registry } from '../libraries/prom-client.js';

/** Metrics of one process at one moment, as sent to another process. */
export type MetricsSnapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

/**
 * The metrics of several processes as one. The last counts of a process stay in the sums while it does not answer, and after it has
 * ended: a falling sum would be read as a restart, and counted twice.
 */
export class MergedMetrics {
  readonly #own: Registry;
  readonly #latest = new Map<number, MetricsSnapshot>();
  #ended: MetricsSnapshot = [];

  /** `own` are this process's; if a metric must not be summed, these count. */
  constructor(own: Registry) {
    this.#own = own;
  }

  /** `answers`: snapshots by process; undefined if it did not answer in time. */
  async text(answers: ReadonlyMap<number, MetricsSnapshot | undefined>): Promise<string> {
    const told: MetricsSnapshot[] = [];
    for (const [process, answer] of answers) {
      if (answer) this.#latest.set(process, answer);
      told.push(answer ?? countersOf(this.#latest.get(process) ?? []));
    }
    const own = await this.#own.getMetricsAsJSON();
    return AggregatorRegistry.aggregate([own, ...told, this.#ended]).metrics();
  }

  /** Call it when a process has ended: its last counts are kept. */
  async ended(process: number): Promise<void> {
    const last = countersOf(this.#latest.get(process) ?? []);
    this.#latest.delete(process);
    if (last.length > 0) this.#ended = await AggregatorRegistry.aggregate([this.#ended, last]).getMetricsAsJSON();
  }
}

/** Drops gauges, which are true only at their moment. */
function countersOf(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.filter(({ type }) => ['counter', 'histogram'].includes(String(type)));
}

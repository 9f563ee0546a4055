import { AggregatorRegistry, type Registry } from 'prom-client';

/** Metrics of one process at one moment, as they cross to another. */
export type MetricsSnapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

/**
 * The metrics of several processes as one. What a process counted stays in the sums when it does not answer, with what
 * it last told, and after it ended: a sum that falls would be read as a restart of everything, and counted twice.
 */
export class MergedMetrics {
  readonly #own: Registry;
  readonly #latest = new Map<number, MetricsSnapshot>();
  #ended: MetricsSnapshot = [];

  /** `own` are this process's; where processes must not be summed up, it is the one that counts. */
  constructor(own: Registry) {
    this.#own = own;
  }

  /** `answers` by process; undefined where one did not answer in time. */
  async text(answers: ReadonlyMap<number, MetricsSnapshot | undefined>): Promise<string> {
    const told: MetricsSnapshot[] = [];
    for (const [process, answer] of answers) {
      if (answer) this.#latest.set(process, answer);
      told.push(answer ?? countersOf(this.#latest.get(process) ?? []));
    }
    const own = await this.#own.getMetricsAsJSON();
    return AggregatorRegistry.aggregate([own, ...told, this.#ended]).metrics();
  }

  /** The process has ended: what it last told is kept. */
  async ended(process: number): Promise<void> {
    const last = countersOf(this.#latest.get(process) ?? []);
    this.#latest.delete(process);
    if (last.length > 0) this.#ended = await AggregatorRegistry.aggregate([this.#ended, last]).getMetricsAsJSON();
  }
}

/** Without what is true of the moment only. */
function countersOf(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.filter(({ type }) => ['counter', 'histogram'].includes(String(type)));
}

import { Counter, Gauge, type Registry } from '../libraries/prom-client.js';

export type ReplacementReason = 'died' | 'unresponsive' | 'start_timeout';

/** A supervisor's metrics of its workers. docs/metrics.md documents the names. */
export class WorkerMetrics {
  readonly #up: Gauge;
  readonly #replaced: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#up = new Gauge({
      name: 'fastcontainer_worker_up',
      help: '1 for each worker that answered this scrape, 0 if it did not and its last counters stand in.',
      labelNames: ['worker'],
      registers,
    });
    this.#replaced = new Counter({
      name: 'fastcontainer_worker_replacements_total',
      help: 'Workers that ended by themselves or were ended and replaced, by reason.',
      labelNames: ['reason'],
      registers,
    });
  }

  scraped(slot: number, answered: boolean): void {
    this.#up.set({ worker: String(slot) }, answered ? 1 : 0);
  }

  replaced(reason: ReplacementReason): void {
    this.#replaced.inc({ reason });
  }
}

import { STATUS_CODES } from 'node:http';
import type { Metric, MetricObject, MetricValue, Registry } from 'prom-client';

export type Temperature = 'warm' | 'cold';
export type RequestOutcome = 'complete' | 'client_gone' | 'upstream_gone' | 'refused';

/** Upper bounds in seconds. */
const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const temperatures: readonly Temperature[] = ['warm', 'cold'];
const outcomes: readonly RequestOutcome[] = ['complete', 'client_gone', 'upstream_gone', 'refused'];
const combinations = temperatures.length * outcomes.length;

interface Durations {
  /** Requests per bucket, not cumulative; the last bucket is +Inf. */
  readonly buckets: number[];
  sum: number;
}

interface AppCounts {
  /** Keys combine code, temperature and outcome in one number. */
  readonly requests: Map<number, { count: number }>;
  /** By temperature, in the order of `temperatures`. */
  readonly durations: readonly Durations[];
}

/**
 * Counts requests by app: the only metrics on the warm path. prom-client would hash labels at each call; these are counted in place
 * and handed to its registry at a scrape.
 */
export class RequestMetrics {
  readonly #apps = new Map<string, AppCounts>();

  constructor(registry: Registry) {
    register(registry, {
      name: 'fastcontainer_requests_total',
      help: 'Requests, by app, status code, temperature and outcome.',
      type: 'counter',
      labelNames: ['app', 'code', 'temperature', 'outcome'],
      values: () => [...this.#apps].flatMap(([app, counts]) => requestValues(app, counts)),
    });
    register(registry, {
      name: 'fastcontainer_request_duration_seconds',
      help: 'From the request to the end of its answer.',
      type: 'histogram',
      labelNames: ['app', 'temperature'],
      values: () => [...this.#apps].flatMap(([app, counts]) => durationValues(app, counts)),
    });
  }

  /** Number of apps counted so far. */
  get size(): number {
    return this.#apps.size;
  }

  has(app: string): boolean {
    return this.#apps.has(app);
  }

  /** Adds the app to those with a label of their own, before its first request is counted. */
  open(app: string): void {
    if (!this.#apps.has(app)) this.#apps.set(app, emptyCounts());
  }

  count(app: string, code: number, temperature: Temperature, durationMs: number, outcome: RequestOutcome): void {
    let counts = this.#apps.get(app);
    if (counts === undefined) this.#apps.set(app, (counts = emptyCounts()));
    const warmth = temperature === 'warm' ? 0 : 1;
    const key = shown(code) * combinations + warmth * outcomes.length + outcomes.indexOf(outcome);
    const known = counts.requests.get(key);
    if (known === undefined) counts.requests.set(key, { count: 1 });
    else known.count += 1;
    const durations = counts.durations[warmth] as Durations;
    const seconds = durationMs / 1_000;
    let bucket = 0;
    while (bucket < bounds.length && seconds > (bounds[bucket] as number)) bucket += 1;
    (durations.buckets[bucket] as number) += 1;
    durations.sum += seconds;
  }
}

/** Counts unknown codes by their class, so that an app that invents codes cannot grow the memory. 499 is ours: the client left. */
function shown(code: number): number {
  return code === 499 || STATUS_CODES[code] !== undefined ? code : Math.floor(code / 100);
}

function labelOf(shownCode: number): string {
  return shownCode < 100 ? `${shownCode}xx` : String(shownCode);
}

function emptyCounts(): AppCounts {
  const durations = () => ({ buckets: Array.from({ length: bounds.length + 1 }, () => 0), sum: 0 });
  return { requests: new Map(), durations: [durations(), durations()] };
}

interface Exposed {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'histogram';
  readonly labelNames: readonly string[];
  readonly values: () => MetricValue<string>[];
}

/** A registry needs no more of its metrics than this, though its types ask for prom-client's own classes. */
function register(registry: Registry, { values, ...described }: Exposed): void {
  const get = () => Promise.resolve({ ...described, values: values(), aggregator: 'sum' } as unknown as MetricObject);
  registry.registerMetric({ ...described, get, reset() {} } as unknown as Metric);
}

function requestValues(app: string, { requests }: AppCounts): MetricValue<string>[] {
  return [...requests].map(([key, { count }]) => ({
    value: count,
    labels: {
      app,
      code: labelOf(Math.floor(key / combinations)),
      temperature: temperatures[Math.floor((key % combinations) / outcomes.length)] as string,
      outcome: outcomes[key % outcomes.length] as string,
    },
  }));
}

function durationValues(app: string, { durations }: AppCounts): MetricValue<string>[] {
  return durations.flatMap(({ buckets, sum }, index) => {
    const labels = { app, temperature: temperatures[index] as string };
    let count = 0;
    const values = buckets.map((requests, bucket) => ({
      metricName: 'fastcontainer_request_duration_seconds_bucket',
      labels: { le: bounds[bucket] ?? '+Inf', ...labels },
      value: (count += requests),
    }));
    if (count === 0) return [];
    return [
      ...values,
      { metricName: 'fastcontainer_request_duration_seconds_sum', labels, value: sum },
      { metricName: 'fastcontainer_request_duration_seconds_count', labels, value: count },
    ];
  });
}

/** What a load generator saw. */
export interface LoadResult {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that were not 2xx (wrk: nor 3xx). */
  readonly refused: number;
  /** Connections that failed and requests that were not answered in time. */
  readonly errors: number;
}

const unitMs: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000, m: 60_000 };

/** Reads what `wrk --latency` prints. Throws where it is something else. */
export function readWrk(text: string): LoadResult {
  const total = /(\d+) requests in ([\d.]+)(us|ms|s|m),/.exec(text);
  const perSecond = /^Requests\/sec:\s+([\d.]+)/m.exec(text)?.[1];
  if (!total || perSecond === undefined) throw new Error(`wrk did not say what it measured: ${text.trim()}`);
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text) ?? [];
  return {
    requests: Number(total[1]),
    perSecond: Number(perSecond),
    p50Ms: percentile(text, 50),
    p99Ms: percentile(text, 99),
    refused: Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0),
    errors: sockets.slice(1).reduce((sum, count) => sum + Number(count), 0),
  };
}

function percentile(text: string, percent: number): number {
  const [, value, unit = ''] = new RegExp(`^\\s*${percent}%\\s+([\\d.]+)(us|ms|s|m)`, 'm').exec(text) ?? [];
  return Number(value) * (unitMs[unit] ?? Number.NaN);
}

/** Reads what `autocannon --json` prints. Throws where it is something else. */
export function readAutocannon(text: string): LoadResult {
  const result = JSON.parse(text) as Autocannon;
  return {
    requests: result.requests.total,
    perSecond: result.requests.average,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    refused: result.non2xx,
    errors: result.errors,
  };
}

interface Autocannon {
  readonly requests: { readonly average: number; readonly total: number };
  readonly latency: { readonly p50: number; readonly p99: number };
  readonly non2xx: number;
  /** Timeouts are among them. */
  readonly errors: number;
}

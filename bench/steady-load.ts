import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { serverTiming } from './ask.js';
import { quantile } from './statistics.js';

export interface SteadyLoad {
  readonly port: number;
  /** Asked one after the other, again and again. */
  readonly hosts: readonly string[];
  /** Requests per second, evenly spread. */
  readonly perSecond: number;
  /** Of the request with this number; `/` unless told. */
  readonly path?: (index: number) => string;
}

export interface SteadyResult {
  readonly requests: number;
  /** What was not answered 200, by what came instead. */
  readonly failures: ReadonlyMap<string, number>;
  /** Answers that waited for a boot: their Server-Timing names its phases. */
  readonly cold: number;
  /** Requests that were not sent in time because too many were under way. */
  readonly late: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface RunningLoad {
  /** What was seen since the last call, or since the beginning. */
  take(): SteadyResult;
  /** Resolves when the last answer is there. */
  stop(): Promise<void>;
}

const tickMs = 10;
const mostUnderWay = 256;
const answerLimitMs = 30_000;

/** Sends requests at a bounded rate over connections that stay, whatever becomes of the answers; ends with `stop`. */
export function startSteadyLoad(load: SteadyLoad): RunningLoad {
  const agent = new Agent({ keepAlive: true, maxSockets: mostUnderWay, scheduling: 'lifo' });
  const underWay = new Set<Promise<void>>();
  const from = performance.now();
  let seen = new Observed();
  let sent = 0;
  const stopping = new AbortController();
  const send = () => {
    const host = load.hosts[sent % load.hosts.length] ?? '';
    const path = load.path?.(sent) ?? '/';
    const counted = seen;
    const answer = askOn(agent, load.port, host, path).then((outcome) => {
      counted.add(outcome);
      underWay.delete(answer);
    });
    underWay.add(answer);
  };
  const running = (async () => {
    while (!stopping.signal.aborted) {
      const due = Math.floor(((performance.now() - from) / 1_000) * load.perSecond);
      for (; sent < due; sent += 1) {
        if (underWay.size < mostUnderWay) send();
        else seen.late += 1;
      }
      await sleep(tickMs);
    }
    await Promise.all(underWay);
    agent.destroy();
  })();
  return {
    take() {
      const result = seen.result();
      seen = new Observed();
      return result;
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** Asks each host once, some at a time; throws where one is not answered 200. */
export async function askEach(port: number, hosts: readonly string[], atOnce = 64): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  const rest = hosts.values();
  const worker = async () => {
    for (const host of rest) {
      const { failure } = await askOn(agent, port, host, '/');
      if (failure !== undefined) throw new Error(`${host} was answered: ${failure}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: atOnce }, worker));
  } finally {
    agent.destroy();
  }
}

/** How many requests failed, in words; '' where none did. */
export function failuresOf({ failures }: SteadyResult): string {
  return [...failures].map(([what, count]) => `${count} × ${what}`).join(', ');
}

interface Outcome {
  readonly failure?: string;
  readonly cold: boolean;
  readonly tookMs: number;
}

class Observed {
  late = 0;
  #cold = 0;
  readonly #failures = new Map<string, number>();
  readonly #took: number[] = [];

  add({ failure, cold, tookMs }: Outcome): void {
    this.#took.push(tookMs);
    if (cold) this.#cold += 1;
    if (failure !== undefined) this.#failures.set(failure, (this.#failures.get(failure) ?? 0) + 1);
  }

  result(): SteadyResult {
    return {
      requests: this.#took.length,
      failures: this.#failures,
      cold: this.#cold,
      late: this.late,
      p50Ms: quantile(this.#took, 0.5),
      p99Ms: quantile(this.#took, 0.99),
    };
  }
}

function askOn(agent: Agent, port: number, host: string, path: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const from = performance.now();
    const end = (failure: string | undefined, cold = false) =>
      resolve({ ...(failure === undefined ? {} : { failure }), cold, tookMs: performance.now() - from });
    const req = request({ host: '127.0.0.1', port, path, headers: { host }, agent, timeout: answerLimitMs });
    req.once('timeout', () => req.destroy(new Error(`no answer within ${answerLimitMs} ms`)));
    req.once('error', (error) => end(error.message));
    req.once('response', (res) => {
      const { 'x-fastcontainer-error': code = '', 'server-timing': timing = '' } = res.headers;
      const cold = 'ready' in serverTiming(String(timing));
      res.once('error', (error) => end(error.message, cold));
      res.once('end', () => end(res.statusCode === 200 ? undefined : `${res.statusCode} ${String(code)}`.trim(), cold));
      res.resume();
    });
    req.end();
  });
}

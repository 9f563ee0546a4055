import { get } from 'node:http';
import { connect } from 'node:net';
import type { Readiness } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import type { Address } from '../model/instance.js';

/** Whether what listens at the address answers as `readiness` asks; one attempt, false where it fails or is aborted. */
export type Probe = (target: ProbeTarget, signal: AbortSignal) => Promise<boolean>;

export interface ProbeTarget {
  readonly address: Address;
  readonly readiness: Readiness;
  /** Host header of an HTTP check. */
  readonly domain: string;
}

export interface ReadinessOptions extends ProbeTarget {
  readonly probe: Probe;
  /** Whether the instance's own process listens there; asked after a check succeeded. Undefined: cannot tell. */
  readonly isListening: () => Promise<boolean | undefined>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const firstPauseMs = 2;
const longestPauseMs = 50;
const attemptLimitMs = 1_000;
/** A proxy in front of a port that nobody listens on (a published Docker port) accepts and closes within this time. */
const staysOpenMs = 3;

/** Resolves when the instance can serve. Checks again with millisecond back-off; rejects with the signal's reason. */
export async function awaitReady(options: ReadinessOptions): Promise<void> {
  const { signal, probe } = options;
  let pauseMs = firstPauseMs;
  for (;;) {
    signal.throwIfAborted();
    if ((await probe(options, signal)) && (await options.isListening()) !== false) return;
    await pause(options, pauseMs);
    pauseMs = Math.min(longestPauseMs, pauseMs * 1.3);
  }
}

/** A probe over the network. */
export const connectionProbe: Probe = (target, signal) => {
  const { address, readiness } = target;
  return 'http' in readiness ? answersHttp(target, readiness.http, signal) : staysOpen(address, signal);
};

function pause({ clock, signal }: ReadinessOptions, delayMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      timer.cancel();
      reject(signal.reason as Error);
    };
    const timer = clock.after(delayMs, () => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
    signal.addEventListener('abort', abort, { once: true });
  });
}

/** Whether a connection is accepted and not closed at once. */
function staysOpen({ host, port }: Address, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: attemptLimitMs });
    const close = () => end(false);
    const end = (open: boolean) => {
      clearTimeout(stay);
      signal.removeEventListener('abort', close);
      socket.destroy();
      resolve(open);
    };
    let stay: NodeJS.Timeout | undefined;
    socket.on('connect', () => {
      stay = setTimeout(end, staysOpenMs, true);
      // Reading is what notices that the other side closed.
      socket.resume();
    });
    for (const event of ['error', 'end', 'close', 'timeout']) socket.on(event, close);
    signal.addEventListener('abort', close, { once: true });
  });
}

function answersHttp({ address, domain }: ProbeTarget, path: string, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({
      ...address,
      path,
      headers: { host: domain, 'user-agent': 'fastcontainer-readiness' },
      agent: false,
      timeout: attemptLimitMs,
    });
    const abort = () => request.destroy();
    const end = (ready: boolean) => {
      signal.removeEventListener('abort', abort);
      resolve(ready);
    };
    request.on('response', ({ statusCode = 0 }) => {
      request.destroy();
      end(statusCode >= 200 && statusCode < 400);
    });
    request.on('timeout', abort);
    request.on('error', () => end(false));
    request.on('close', () => end(false));
    signal.addEventListener('abort', abort, { once: true });
  });
}

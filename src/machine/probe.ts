import { get } from 'node:http';
import { connect } from 'node:net';
import type { Readiness } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import type { Address } from '../model/instance.js';

/**
 * Whether the listener at the address answers as `readiness` asks. Makes one attempt; false if it fails or is aborted. May call
 * `isListening` once something accepts connections there, and rejects if that does.
 */
export type Probe = (target: ProbeTarget, signal: AbortSignal, isListening: IsListening) => Promise<boolean>;

/** Whether the instance's own process listens there; undefined if that cannot be told. */
export type IsListening = () => Promise<boolean | undefined>;

export interface ProbeTarget {
  readonly address: Address;
  readonly readiness: Readiness;
  /** Host header of an HTTP check. */
  readonly domain: string;
  /** Time limit of this attempt; 1 s by default. */
  readonly limitMs?: number;
}

/** Time limit of the first attempt; later ones get more, or an app that answers slowly would never answer in time. */
export const attemptLimitMs = 1_000;
/**
 * A proxy in front of a port without a listener (a published Docker port) accepts and closes within this time. Awaited if it is
 * unknown what accepted.
 */
const staysOpenMs = 3;

/** A probe over the network. */
export const connectionProbe: Probe = (target, signal, isListening) => {
  const { address, readiness } = target;
  const { limitMs = attemptLimitMs } = target;
  return 'http' in readiness
    ? answersHttp(target, readiness.http, limitMs, signal)
    : staysOpen(address, limitMs, signal, isListening);
};

/** Leaves time for resent packets: the kernel resends a lost SYN after one second. */
const connectionLimitMs = 3_500;

/** Whether anything accepts a connection at the address. Makes one attempt; never throws. */
export async function takesConnection(address: Address, probe: Probe, clock: Clock): Promise<boolean> {
  const stop = new AbortController();
  const timer = clock.after(connectionLimitMs, () => stop.abort());
  try {
    return await probe(
      { address, readiness: { tcp: true }, domain: '', limitMs: connectionLimitMs },
      stop.signal,
      async () => undefined,
    );
  } catch {
    return false;
  } finally {
    timer.cancel();
  }
}

/** Whether a connection is accepted by the instance itself, or at least not closed at once. */
function staysOpen(
  { host, port }: Address,
  limitMs: number,
  signal: AbortSignal,
  isListening: IsListening,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: limitMs });
    const close = () => end(false);
    let stay: NodeJS.Timeout | undefined;
    const end = (open: boolean) => {
      clearTimeout(stay);
      signal.removeEventListener('abort', close);
      socket.destroy();
      resolve(open);
    };
    socket.on('connect', () => {
      stay = setTimeout(afterWhatCame, staysOpenMs, () => end(true));
      // Only a read notices that the other side has closed.
      socket.resume();
      isListening().then(
        (own) => {
          if (own !== undefined) end(own);
        },
        (error: unknown) => {
          reject(error as Error);
          end(false);
        },
      );
    });
    for (const event of ['error', 'end', 'close', 'timeout']) socket.on(event, close);
    signal.addEventListener('abort', close, { once: true });
  });
}

/** Handles pending network events first, which come after a timer on a busy event loop. */
function afterWhatCame(run: () => void): void {
  setImmediate(() => setImmediate(run));
}

function answersHttp(
  { address, domain }: ProbeTarget,
  path: string,
  limitMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({
      ...address,
      path,
      headers: { host: domain, 'user-agent': 'fastcontainer-readiness' },
      agent: false,
      timeout: limitMs,
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

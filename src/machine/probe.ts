import { get } from 'node:http';
import { connect } from 'node:net';
import type { Readiness } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import type { Address } from '../model/instance.js';

/**
 * Whether what listens at the address answers as `readiness` asks; one attempt, false where it fails or is aborted. May ask
 * `isListening` as soon as something is known to listen there; what that rejects with, it rejects with as well.
 */
export type Probe = (target: ProbeTarget, signal: AbortSignal, isListening: IsListening) => Promise<boolean>;

/** Whether the instance's own process listens there. Undefined: cannot tell. */
export type IsListening = () => Promise<boolean | undefined>;

export interface ProbeTarget {
  readonly address: Address;
  readonly readiness: Readiness;
  /** Host header of an HTTP check. */
  readonly domain: string;
  /** For this attempt; 1 s by default. */
  readonly limitMs?: number;
}

/** Of the first attempt. An app that takes longer to answer would otherwise be asked again and again, and never answer in time. */
export const attemptLimitMs = 1_000;
/**
 * A proxy in front of a port that nobody listens on (a published Docker port) accepts and closes within this time. It is
 * waited for where it is not known who accepted.
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

/** The kernel asks again after a second for what was lost on the way. */
const connectionLimitMs = 3_500;

/** Whether anything takes a connection at the address: one attempt. Never throws. */
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

/** Whether a connection is accepted, by the instance itself or by what does not close it at once. */
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
      // Reading is what notices that the other side closed.
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

/** On a busy event loop a timer comes before what the network brought meanwhile: that is heard first. */
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

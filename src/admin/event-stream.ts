import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { isStreaming } from './bounded-server.js';

/** One message of a stream of server-sent events. */
export interface StreamMessage {
  /** What a reader sends as Last-Event-ID to go on after it. */
  readonly id?: string;
  /** Its name; `message` if absent. */
  readonly event?: string;
  /** Sent as JSON in one line. */
  readonly data: unknown;
}

export interface StreamLimits {
  /** Time for a reader to take what was written, in milliseconds. */
  readonly stallMs: number;
  /** Interval between comments that show both sides that the other is there, in milliseconds. */
  readonly heartbeatMs: number;
  /** Age at which a stream ends, so that a token that was taken away does not read on; readers come back by themselves. */
  readonly ageMs: number;
}

export const streamLimits: StreamLimits = { stallMs: 15_000, heartbeatMs: 15_000, ageMs: 10 * 60_000 };

/** Why a stream ended; its last message says so if the reader can still read it. */
export type StreamEnd = 'age' | 'slow' | 'closing' | 'gone' | 'done';

/**
 * Answers with messages as they come, until there are no more, the signal aborts, or the stream is old. At most one message is under way: a
 * reader that does not take it in time is cut off.
 */
export async function sendEvents(
  response: ServerResponse,
  messages: AsyncIterable<StreamMessage>,
  { signal, limits }: { readonly signal: AbortSignal; readonly limits: StreamLimits },
): Promise<StreamEnd> {
  response[isStreaming] = true;
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    // Otherwise nginx would gather them.
    'x-accel-buffering': 'no',
  });
  response.write(': \n\n');
  const beat = setInterval(() => {
    if (response.writableLength === 0) response.write(': \n\n');
  }, limits.heartbeatMs);
  const old = AbortSignal.timeout(limits.ageMs);
  const stop = AbortSignal.any([signal, old]);
  let end: StreamEnd = 'done';
  try {
    const iterator = messages[Symbol.asyncIterator]();
    for (;;) {
      const next = await until(iterator.next(), stop);
      if (next === undefined || next.done) {
        void iterator.return?.();
        break;
      }
      response.write(textOf(next.value));
      if (await taken(response, limits.stallMs, stop)) continue;
      end = 'slow';
      break;
    }
    if (end !== 'slow') end = response.destroyed ? 'gone' : signal.aborted ? 'closing' : old.aborted ? 'age' : 'done';
    return end;
  } finally {
    clearInterval(beat);
    finish(response, end, limits.stallMs);
  }
}

/** The last message says why; a reader that does not take it is cut off. */
function finish(response: ServerResponse, reason: StreamEnd, stallMs: number): void {
  if (response.destroyed) return;
  response.end(textOf({ event: 'end', data: { reason } }));
  const cut = setTimeout(() => response.destroy(), reason === 'slow' ? 1_000 : stallMs);
  response.once('close', () => clearTimeout(cut));
}

function textOf({ id, event, data }: StreamMessage): string {
  const lines = [...(id === undefined ? [] : [`id: ${id}`]), ...(event === undefined ? [] : [`event: ${event}`])];
  return `${[...lines, `data: ${JSON.stringify(data)}`].join('\n')}\n\n`;
}

/** Whether the reader took what was written, in time. */
async function taken(response: ServerResponse, stallMs: number, stop: AbortSignal): Promise<boolean> {
  if (!response.writableNeedDrain) return true;
  const late = AbortSignal.timeout(stallMs);
  // Nothing of it stays at the answer, however often its reader is waited for; `stop` tells that it has gone.
  await once(response, 'drain', { signal: AbortSignal.any([late, stop]) }).catch(() => {});
  return !(late.aborted && response.writableNeedDrain);
}

/** Undefined if the signal aborts first. */
function until<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = () => resolve(undefined);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

import type { Socket } from 'node:net';
import { buildConnector } from 'undici';
import { RequestError } from '../model/errors.js';
import { readFirst } from './read-first.js';

/**
 * Connects to an instance as undici does, and shields undici 7's parser from two faults. If an app ended its connection while a
 * slow client held the answer back, undici threw an error that nothing can catch, so that any app could end the daemon
 * (https://github.com/nodejs/undici/issues/5360, fixed only for Node 22). And it took a reset for the good end of an answer
 * without a length.
 */
export function upstreamConnector(options: buildConnector.BuildOptions): buildConnector.connector {
  const connect = buildConnector(options);
  return (target, callback) =>
    connect(target, (...result) => {
      if (result[1]) {
        shield(result[1]);
        readFirst(result[1]);
      }
      callback(...result);
    });
}

const kAwaits = Symbol('awaits an answer');

type Awaiting = Socket & { [kAwaits]?: boolean };

/** Call it before a request is written: the next bytes that come are the beginning of its answer. */
export function awaitsAnswer(socket: Awaiting): void {
  socket[kAwaits] = true;
}

/** Interim answers to one request; more are refused. */
export const mostInterim = 1_000;

const longestHead = 64 * 1024;
const interim = /^HTTP\/1\.[01] 1(?!01)\d\d$/;
/** An interim answer begins with one of these. */
const starts = ['HTTP/1.1 1', 'HTTP/1.0 1'];
const headEnd = Buffer.from('\r\n\r\n');

/**
 * Removes any `100 Continue` from the beginning of an answer: an app may send it unasked (RFC 9110 §15.2), and undici would fail.
 * `passes` is undefined if there is nothing to pass on yet; give `held` again with the next bytes in `bytes`.
 */
export function withoutContinue(bytes: Buffer): {
  passes: Buffer | undefined;
  held: Buffer | undefined;
  isOver: boolean;
  /** Number of those removed. */
  dropped: number;
} {
  const kept: Buffer[] = [];
  let dropped = 0;
  let rest = bytes;
  while (rest.length > 0) {
    const isShort = rest.length < 12;
    const start = rest.toString('latin1', 0, isShort ? 10 : 12);
    const isInterim = isShort ? starts.some((text) => text.startsWith(start)) : interim.test(start);
    const end = rest.indexOf(headEnd);
    if (!isInterim || (end < 0 && rest.length > longestHead)) {
      return { passes: Buffer.concat([...kept, rest]), held: undefined, isOver: true, dropped };
    }
    if (isShort || end < 0) break;
    if (rest.toString('latin1', 9, 12) === '100') dropped += 1;
    else kept.push(rest.subarray(0, end + headEnd.length));
    rest = rest.subarray(end + headEnd.length);
  }
  const passes = kept.length > 0 ? Buffer.concat(kept) : undefined;
  return { passes, held: rest.length > 0 ? rest : undefined, isOver: false, dropped };
}

export function endlessInterim(): RequestError {
  return new RequestError('upstream_reset', 'The app sent interim answers without end.');
}

/** undici gives back what it has not parsed when it pauses, and reads without a size when it goes on. */
function shield(socket: Awaiting & { _readableState?: { readonly ended: boolean } }): void {
  const { read, unshift } = socket;
  let isHeld = false;
  let begun: Buffer | undefined;
  let dropped = 0;
  socket.unshift = (chunk, encoding) => {
    isHeld = true;
    if (chunk.length > 0) unshift.call(socket, chunk, encoding);
  };
  socket.read = (size) => {
    // Node itself reads zero bytes to fetch more or to notice the end: neither may happen before the answer goes on.
    if (size !== undefined) return isHeld ? null : read.call(socket, size);
    isHeld = false;
    const { readableLength, _readableState: state } = socket;
    // Reading the last bytes by their number leaves the end for the next read: this one may pause again.
    const chunk = read.call(
      socket,
      state?.ended === true && readableLength > 0 ? readableLength : undefined,
    ) as Buffer | null;
    if (chunk === null || socket[kAwaits] !== true) return chunk;
    // For nearly every answer the first digit of the status says that it is not interim.
    if (begun === undefined && chunk.length > 11 && chunk[9] !== 0x31) {
      socket[kAwaits] = false;
      return chunk;
    }
    const found = withoutContinue(begun === undefined ? chunk : Buffer.concat([begun, chunk]));
    const { passes, held, isOver } = found;
    begun = held;
    dropped = isOver ? 0 : dropped + found.dropped;
    if (dropped > mostInterim) {
      socket.destroy(endlessInterim());
      return null;
    }
    if (isOver) socket[kAwaits] = false;
    return passes ?? null;
  };
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNRESET') error.code = 'EPIPE';
  });
}

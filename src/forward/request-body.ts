import { Readable } from 'node:stream';
import { RequestError } from '../model/errors.js';
import type { ClientRequest } from './client-message.js';
import { endReadAhead, isReadAhead, takeAhead } from './read-ahead.js';
import { gatheredBytes, smallBytes, SmallChunks } from './small-chunks.js';

export interface RequestBodyOptions {
  readonly maxBytes: number;
  /** Time after which a client that sends nothing while the app would read is given up. */
  readonly idleTimeoutMs: number;
  /** Bytes per second that a client must send on average over that time while the app would read; 0 is no bound. */
  readonly minRate: number;
  /** Time after which an app that reads nothing, and whose answer does not move, is given up. */
  readonly stallTimeoutMs: number;
}

/** A timer that is set for longer fires at once. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * A client's body on its way to the app. It keeps the end of one from destroying the other: an unread body is still there for
 * another attempt, and the client can still be answered.
 */
export class RequestBody extends Readable {
  readonly #req: ClientRequest;
  readonly #options: RequestBodyOptions;
  readonly #waiting = new SmallChunks();
  #bytes = 0;
  #wanted = false;
  /** At the last look at the rate: bytes until then, and since then whether the app would read all the while. */
  #bytesBefore = 0;
  #wantedThroughout = false;
  #rateTimer: NodeJS.Timeout | undefined;

  constructor(req: ClientRequest, options: RequestBodyOptions) {
    super({ highWaterMark: 64 * 1024 });
    this.#req = req;
    this.#options = options;
    // A client may break off before or after anything listens; `errored` still tells it.
    this.on('error', () => {});
  }

  override _construct(callback: (error?: Error | null) => void): void {
    endReadAhead(this.#req);
    this.#req.on('data', this.#onData);
    this.#req.pause();
    this.#req.on('end', this.#onEnd);
    this.#req.on('close', this.#onClose);
    // Heard on the request, it keeps node from cutting the connection before it was answered.
    this.#req.on('timeout', this.#onIdle);
    if (this.#options.minRate > 0) {
      this.#rateTimer = setInterval(judgeRate, this.#options.idleTimeoutMs, this).unref();
    }
    callback(this.#req.destroyed && !this.#req.complete ? brokenOff() : null);
  }

  override _read(): void {
    this.#wanted = true;
    const ahead = takeAhead(this.#req);
    this.#req.setTimeout(this.#options.idleTimeoutMs);
    this.#req.resume();
    if (ahead && ahead.length > 0) this.#onData(ahead);
    if (ahead && this.#req.readableEnded) this.#onEnd();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#req.off('data', this.#onData);
    this.#req.off('end', this.#onEnd);
    this.#req.off('close', this.#onClose);
    this.#req.off('timeout', this.#onIdle);
    clearInterval(this.#rateTimer);
    this.#req.setTimeout(0);
    this.#req.pause();
    callback(error);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#options.maxBytes) {
      this.destroy(new RequestError('payload_too_large', `The body is larger than ${this.#options.maxBytes} bytes.`));
      return;
    }
    if (chunk.length <= smallBytes) {
      // The parser gives each chunk a tick of its own, all of them before the next immediate.
      if (this.#waiting.bytes === 0) setImmediate(flush, this);
      this.#waiting.add(chunk);
      if (this.#waiting.bytes < gatheredBytes) return;
      this.flush();
    } else {
      this.flush();
      this.#pass(chunk);
    }
  };

  /** Passes on what waited, if anything still does. */
  flush(): void {
    const chunk = this.#waiting.take();
    if (chunk !== undefined && !this.destroyed) this.#pass(chunk);
  }

  #pass(chunk: Buffer): void {
    if (this.push(chunk)) return;
    this.#wanted = this.#wantedThroughout = false;
    this.#req.pause();
    // What is written to the client counts as well.
    this.#req.setTimeout(Math.min(this.#options.stallTimeoutMs, longestTimerMs));
  }

  /** Otherwise a client that sends a byte now and then would keep its seat for as long as it likes. */
  judgeRate(): void {
    const { minRate, idleTimeoutMs } = this.#options;
    const isSlow = this.#bytes - this.#bytesBefore < (minRate * idleTimeoutMs) / 1_000;
    if (this.#wantedThroughout && isSlow) {
      const detail = `The body came with less than ${minRate} bytes per second over ${idleTimeoutMs} ms.`;
      this.destroy(new RequestError('request_timeout', detail));
    }
    this.#bytesBefore = this.#bytes;
    this.#wantedThroughout = this.#wanted;
  }

  readonly #onEnd = (): void => {
    // Comes again when that was taken.
    if (isReadAhead(this.#req)) return;
    this.flush();
    this.#req.setTimeout(0);
    clearInterval(this.#rateTimer);
    this.push(null);
  };

  readonly #onClose = (): void => {
    if (!this.#req.complete) this.destroy(brokenOff());
  };

  readonly #onIdle = (): void => {
    const { idleTimeoutMs, stallTimeoutMs } = this.#options;
    if (!this.#wanted) {
      this.destroy(new RequestError('upstream_timeout', `The app read nothing of the body for ${stallTimeoutMs} ms.`));
      return;
    }
    this.destroy(new RequestError('request_timeout', `The client sent nothing of its body for ${idleTimeoutMs} ms.`));
  };
}

function brokenOff(): Error {
  return new Error('the client broke off its request');
}

function judgeRate(body: RequestBody): void {
  body.judgeRate();
}

function flush(body: RequestBody): void {
  body.flush();
}

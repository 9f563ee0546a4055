import type { Logger } from 'pino';
import { type Clock, sleep } from '../../model/clock.js';
import { LineLog, logRateOfAll, logRateOfOne } from '../output/line-log.js';
import { Rate } from '../output/rate.js';
import { inspectContainer } from './container.js';
import type { Engine } from './engine.js';
import { at } from './reply.js';

const linesPerSecond = 50;
/** Most output that is read of one container per second: more than its log lines may take. */
const bytesPerSecond = 256 * 1024;
const windowMs = 1_000;
const retryMs = 2_000;
/** Empty reads in a row after which the output of an ended container counts as complete. */
const mostFruitless = 3;
/** Containers followed at a time, as each takes a connection to the engine. */
const mostFollowed = 2_000;

export interface OutputLogOptions {
  readonly engine: Engine;
  readonly logger: Logger;
  readonly clock: Clock;
}

interface Followed {
  readonly containerId: string;
  readonly instance: string;
  readonly app: string;
}

/** Writes the stdout and stderr of containers to the log, within limits for each. */
export class OutputLog {
  readonly #options: OutputLogOptions;
  readonly #followed = new Map<string, AbortController>();
  readonly #rateOfAll: Rate;
  #saidFull = false;

  constructor(options: OutputLogOptions) {
    this.#options = options;
    this.#rateOfAll = rateOf(logRateOfAll, options.clock);
  }

  isFollowed(containerId: string): boolean {
    return this.#followed.has(containerId);
  }

  /** Follows a container's output until it has ended, from its start or from now on. Harmless twice. */
  follow(container: Followed, from: 'start' | 'now'): void {
    const { containerId } = container;
    if (this.#followed.has(containerId)) return;
    if (this.#followed.size >= mostFollowed) return this.#sayFull();
    const stop = new AbortController();
    this.#followed.set(containerId, stop);
    const { logger, clock } = this.#options;
    const fields = { app: container.app, instance: container.instance };
    const rates = { own: rateOf(logRateOfOne, clock), all: this.#rateOfAll };
    const lines = new LineLog({ logger: logger.child(fields), clock, linesPerSecond, rates });
    void this.#run(container, from === 'start' ? 0 : this.#nowS(), lines, stop.signal)
      .catch((error: unknown) =>
        logger.debug({ ...fields, err: error }, 'the output of a container is no longer followed'),
      )
      .finally(() => {
        lines.end();
        this.#followed.delete(containerId);
      });
  }

  close(): void {
    for (const stop of this.#followed.values()) stop.abort(new Error('the docker runtime was closed'));
  }

  async #run({ containerId, instance }: Followed, fromS: number, lines: LineLog, signal: AbortSignal): Promise<void> {
    const { engine, logger } = this.#options;
    let sinceS = fromS;
    let fruitless = 0;
    while (!signal.aborted) {
      const seen = { bytes: 0 };
      const outcome = await this.#read(containerId, sinceS, lines, signal, seen).catch((error: unknown) => {
        logger.debug({ err: error, instance }, 'the output of a container is asked for again');
        return 'lost' as const;
      });
      // A busy engine may fail, or give nothing yet of a container that has just ended, so it is asked again.
      if (seen.bytes > 0) sinceS = this.#nowS();
      fruitless = seen.bytes > 0 ? 0 : fruitless + 1;
      if (outcome === 'tooMuch') {
        await sleep(this.#options.clock, windowMs, signal);
        sinceS = this.#nowS();
        continue;
      }
      const reply = await inspectContainer(engine, containerId, instance).catch(() => 'unknown');
      const hasEnded = reply !== 'unknown' && at(reply, 'State', 'Running') !== true;
      if (hasEnded && (seen.bytes > 0 || reply === undefined || fruitless === mostFruitless)) return;
      await sleep(this.#options.clock, retryMs, signal);
    }
  }

  /** Resolves when the stream has ended, or when it exceeds `bytesPerSecond`. */
  async #read(
    containerId: string,
    since: number,
    lines: LineLog,
    signal: AbortSignal,
    seen: { bytes: number },
  ): Promise<'ended' | 'tooMuch'> {
    const { engine, clock } = this.#options;
    const query = { follow: true, stdout: true, stderr: true, since };
    const path = ['containers', containerId, 'logs'];
    const stream = await engine.stream('follow the output of a container', { path, query }, { signal });
    const stop = () => stream.destroy();
    signal.addEventListener('abort', stop);
    const frames = new Frames();
    let windowEnd = clock.monotonic() + windowMs;
    let bytes = 0;
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        if (clock.monotonic() >= windowEnd) {
          windowEnd = clock.monotonic() + windowMs;
          bytes = 0;
        }
        bytes += chunk.length;
        seen.bytes += chunk.length;
        for (const part of frames.take(chunk)) lines.write(part);
        if (bytes <= bytesPerSecond) continue;
        lines.skip(stream.readableLength);
        return 'tooMuch';
      }
      return 'ended';
    } finally {
      signal.removeEventListener('abort', stop);
      stream.destroy();
    }
  }

  #nowS(): number {
    return Math.floor(this.#options.clock.now() / 1000);
  }

  #sayFull(): void {
    if (this.#saidFull) return;
    this.#saidFull = true;
    this.#options.logger.warn(`the output of more than ${mostFollowed} containers at a time is not written to the log`);
  }
}

function rateOf({ bytesPerSecond: bytes, burst }: typeof logRateOfOne, clock: Clock): Rate {
  return new Rate(bytes, burst, () => clock.monotonic());
}

/** Extracts the payload of the engine's frames as it comes (see `demultiplex` in output.ts); buffers only a header. */
export class Frames {
  #header = Buffer.alloc(0);
  #left = 0;

  *take(chunk: Buffer): Generator<Buffer> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) {
        const missing = 8 - this.#header.length;
        this.#header = Buffer.concat([this.#header, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        if (this.#header.length < 8) return;
        this.#left = this.#header.readUInt32BE(4);
        this.#header = Buffer.alloc(0);
        continue;
      }
      const part = rest.subarray(0, this.#left);
      this.#left -= part.length;
      rest = rest.subarray(part.length);
      yield part;
    }
  }
}

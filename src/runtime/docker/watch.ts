import { messageOf } from '../output/printable.js';
import type { Logger } from 'pino';
import { type Clock, sleep } from '../../model/clock.js';
import type { Exit } from '../runtime.js';
import type { Engine } from './engine.js';
import type { Exits } from './exits.js';
import { jsonLines } from './json-lines.js';
import { type Owner, ownFilter } from './labels.js';
import { at } from './reply.js';

const firstBackoffMs = 100;
const maxBackoffMs = 5_000;

interface WatchOptions {
  readonly owner: Owner;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** One event stream of the engine for all watchers. */
export interface Watch {
  watch(onExit: (exit: Exit) => void): () => void;
  /** Ends the stream and all reports. */
  close(): void;
}

/**
 * Follows the engine's events while there is a watcher. After a break it reopens the stream with back-off, from where it broke
 * (`since`), and finds missed exits by a listing.
 */
export function watchEngine(engine: Engine, exits: Exits, { owner, logger, clock }: WatchOptions): Watch {
  let watchers = 0;
  let stream: AbortController | undefined;
  let closed = false;

  const follow = async (signal: AbortSignal) => {
    const position = { nanos: undefined as number | undefined };
    let failures = 0;
    let lost = false;
    while (!signal.aborted) {
      try {
        await openStream(signal, position, () => {
          if (lost) logger.info({ engine: engine.where }, 'Docker Engine is back: container events are followed again');
          lost = false;
          failures = 0;
        });
      } catch (error) {
        if (signal.aborted) return;
        const cause = messageOf(error);
        if (!lost) logger.error({ engine: engine.where }, `lost the engine's container events, trying again: ${cause}`);
        lost = true;
      }
      await sleep(clock, Math.min(maxBackoffMs, firstBackoffMs * 2 ** Math.min(failures, 10)), signal);
      failures += 1;
    }
  };

  /** Ends only by an error, even if the engine ends the stream. */
  const openStream = async (signal: AbortSignal, position: { nanos: number | undefined }, onOpen: () => void) => {
    const replayedTo = position.nanos;
    const query = {
      filters: { type: ['container'], event: ['start', 'die', 'destroy'], label: ownFilter(owner) },
      ...(replayedTo === undefined ? {} : { since: seconds(replayedTo) }),
    };
    const body = await engine.stream('follow container events', { path: ['events'], query }, { signal });
    // The listing follows the opening of the stream, so that no exit is missed between the two.
    const caughtUp = exits.catchUp().then(onOpen);
    caughtUp.catch((error: unknown) => body.destroy(error as Error));
    for await (const event of jsonLines(body, signal)) {
      const nanos = at(event, 'timeNano');
      if (typeof nanos === 'number' && replayedTo !== undefined && nanos <= replayedTo) continue;
      if (typeof nanos === 'number') position.nanos = Math.max(nanos, position.nanos ?? 0);
      exits.take(event);
    }
    await caughtUp;
    throw new Error('the engine ended the stream');
  };

  return {
    watch(onExit) {
      if (closed) return () => undefined;
      const unsubscribe = exits.subscribe(onExit);
      watchers += 1;
      if (!stream) {
        stream = new AbortController();
        void follow(stream.signal);
      }
      let over = false;
      return () => {
        if (over) return;
        over = true;
        unsubscribe();
        watchers -= 1;
        if (watchers > 0) return;
        stream?.abort();
        stream = undefined;
      };
    },
    close() {
      closed = true;
      stream?.abort();
      stream = undefined;
    },
  };
}

/** Slightly too early, as a double cannot hold nanoseconds; repeated events are skipped. */
function seconds(nanos: number): number {
  return Math.floor(nanos / 1e3 - 1) / 1e6;
}

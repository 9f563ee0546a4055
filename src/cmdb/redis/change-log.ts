import type { Change, ChangeBatch } from '../cmdb.js';
import type { RedisClient } from './connect.js';
import { type Command, type Link, unavailable } from './link.js';

export interface ChangeLogOptions {
  readonly link: Link;
  readonly key: string;
  /** Entries kept, about. */
  readonly length: number;
  /** Longest wait for a change, in milliseconds. */
  readonly waitMs: number;
  /** A connection of its own: a command that waits holds up all behind it. */
  readonly connect: () => RedisClient;
}

type Entry = [id: string, fields: string[]];

const beginning = '0-0';
const batch = 1_000;

/** The stream of changes: appended to with each write, followed with a blocking read. */
export class ChangeLog {
  readonly #options: ChangeLogOptions;
  #reader: RedisClient | undefined;
  #closed = false;

  constructor(options: ChangeLogOptions) {
    this.#options = options;
  }

  /** The command that appends a change. */
  entry({ app, version }: Change): Command {
    const { key, length } = this.#options;
    return [
      'xadd',
      key,
      'MAXLEN',
      '~',
      length,
      '*',
      'app',
      app,
      ...(version === undefined ? [] : ['version', version]),
    ];
  }

  async after(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch> {
    const { link, key, length } = this.#options;
    const [oldest, newest, count] = (await link.all([
      ['xrange', key, '-', '+', 'COUNT', 1],
      ['xrevrange', key, '+', '-', 'COUNT', 1],
      ['xlen', key],
    ])) as [Entry[], Entry[], number];
    const last = newest[0]?.[0] ?? beginning;
    if (position === undefined) return { position: last, changes: [], lost: false };
    const first = oldest[0]?.[0];
    const wasTrimmed = position !== beginning || count >= length;
    const fellOff = first === undefined ? position !== beginning : compare(position, first) < 0 && wasTrimmed;
    if (fellOff || compare(position, last) > 0) return { position: last, changes: [], lost: true };
    if (position === last) await this.#wait(position, signal);
    const entries = (await link.one(['xrange', key, `(${position}`, '+', 'COUNT', batch])) as Entry[];
    return { position: entries.at(-1)?.[0] ?? position, changes: entries.map(changeOf), lost: false };
  }

  close(): void {
    this.#closed = true;
    this.#reader?.disconnect();
  }

  /** Until there is something after `position`, the time is up, or the signal aborts. */
  async #wait(position: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#closed) return;
    const reader = await this.#connected();
    const stop = () => this.#drop(reader);
    signal.addEventListener('abort', stop, { once: true });
    try {
      await reader.call(
        'XREAD',
        'COUNT',
        '1',
        'BLOCK',
        String(this.#options.waitMs),
        'STREAMS',
        this.#options.key,
        position,
      );
    } catch (error) {
      this.#drop(reader);
      if (!signal.aborted && !this.#closed) throw unavailable(error);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  async #connected(): Promise<RedisClient> {
    this.#reader ??= this.#open();
    const reader = this.#reader;
    if (reader.status !== 'ready') {
      await new Promise<void>((resolve, reject) => {
        reader.once('ready', resolve);
        reader.once('close', () => reject(unavailable(new Error('no connection for the change log'))));
      }).catch((error: unknown) => {
        this.#drop(reader);
        throw error;
      });
    }
    return reader;
  }

  #open(): RedisClient {
    const reader = this.#options.connect();
    // What goes wrong is seen by the read that waits on it.
    reader.on('error', () => {});
    return reader;
  }

  #drop(reader: RedisClient): void {
    reader.disconnect();
    if (this.#reader === reader) this.#reader = undefined;
  }
}

function changeOf([, fields]: Entry): Change {
  const [, app = '', , version] = fields;
  return version === undefined ? { app } : { app, version };
}

/** Ids are two numbers, of which the first may exceed what a double holds exactly only in a few hundred thousand years. */
function compare(a: string, b: string): number {
  const [aTime = 0, aNumber = 0] = a.split('-').map(Number);
  const [bTime = 0, bNumber = 0] = b.split('-').map(Number);
  return aTime - bTime || aNumber - bNumber;
}

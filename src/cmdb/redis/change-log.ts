import type { Change, ChangeBatch } from '../cmdb.js';
import { unavailable } from '../unavailable.js';
import { newNonce } from './nonce.js';
import type { RedisClient } from './connect.js';
import type { Link } from './link.js';

export interface ChangeLogOptions {
  readonly link: Link;
  readonly key: string;
  /** Key that names this life of the store; positions hold only for it. */
  readonly nonceKey: string;
  /** Approximate number of entries kept. */
  readonly length: number;
  /** Longest wait for a change, in milliseconds. */
  readonly waitMs: number;
  /** Limit of everything that does not wait for a change, in milliseconds. */
  readonly timeLimitMs: number;
  /** Opens a separate connection, as a command that waits holds up all after it. */
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

  async after(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch> {
    const { link, key, nonceKey, length } = this.#options;
    const from = position === undefined ? undefined : parse(position);
    const id = from?.id ?? beginning;
    const [, nonce, newest, there, count] = (await link.ofAnyStore([
      ['set', nonceKey, newNonce(), 'NX'],
      ['get', nonceKey],
      ['xrevrange', key, '+', '-', 'COUNT', 1],
      ['xrange', key, id, id],
      ['xlen', key],
    ])) as [unknown, string, Entry[], Entry[], number];
    const last = newest[0]?.[0] ?? beginning;
    const at = (entry: string) => `${nonce}:${entry}`;
    if (position === undefined) return { position: at(last), changes: [], gap: false };
    // A reader at an entry has seen all before it; if that entry is gone, later ones may be gone, too.
    const stands = id === beginning ? count < length : there.length === 1;
    if (from?.nonce !== nonce || !stands) return { position: at(last), changes: [], gap: true };
    if (id === last) await this.#wait(id, signal);
    const entries = (await link.one(['xrange', key, `(${id}`, '+', 'COUNT', batch])) as Entry[];
    return { position: at(entries.at(-1)?.[0] ?? id), changes: entries.map(changeOf), gap: false };
  }

  close(): void {
    this.#closed = true;
    this.#reader?.disconnect();
  }

  /** Waits until there is an entry after `position`, the time is up, or the signal aborts. */
  async #wait(position: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#closed) return;
    const { waitMs, timeLimitMs, key } = this.#options;
    const reader = (this.#reader ??= this.#open());
    let onAbort = () => {};
    const ended = new Promise<void>((resolve) => (onAbort = resolve));
    // A read cannot be cancelled, so its connection is closed. A silent server is not awaited.
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await within(timeLimitMs, 'no connection for the change log', ready(reader), ended);
      if (signal.aborted) return this.#drop(reader);
      const read = reader.call('XREAD', 'COUNT', '1', 'BLOCK', String(waitMs), 'STREAMS', key, position);
      await within(waitMs + timeLimitMs, 'no answer from the change log', read, ended);
      if (signal.aborted) this.#drop(reader);
    } catch (error) {
      this.#drop(reader);
      if (!signal.aborted && !this.#closed) throw unavailable(error);
    } finally {
      // The signal lives as long as the node: listeners left on it would pile up with every change.
      signal.removeEventListener('abort', onAbort);
    }
  }

  #open(): RedisClient {
    const reader = this.#options.connect();
    // The read that waits on it fails with the same error.
    reader.on('error', () => {});
    return reader;
  }

  #drop(reader: RedisClient): void {
    reader.disconnect();
    if (this.#reader === reader) this.#reader = undefined;
  }
}

async function ready(reader: RedisClient): Promise<void> {
  if (reader.status === 'ready') return;
  await new Promise<void>((resolve, reject) => {
    reader.once('ready', resolve);
    reader.once('close', () => reject(new Error('no connection for the change log')));
  });
}

/** Resolves when the work is done or called off; rejects if the work fails, or after the limit. */
async function within(
  limitMs: number,
  complaint: string,
  work: Promise<unknown>,
  off: Promise<unknown>,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${complaint} within ${limitMs} ms`)), limitMs);
  });
  // Abandoned work fails later, with its connection.
  work.catch(() => {});
  try {
    await Promise.race([work, off, limit]);
  } finally {
    clearTimeout(timer);
  }
}

function changeOf([, fields]: Entry): Change {
  const [, app = '', , version, , hosts] = fields;
  if (version === undefined) return { app };
  return hosts === undefined ? { app, version } : { app, version, hosts: hostsOf(hosts) };
}

/** None if it cannot be read: the schedule names the app as well. */
function hostsOf(text: string): string[] {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter((host) => typeof host === 'string') : [];
  } catch {
    return [];
  }
}

function parse(position: string): { readonly nonce: string; readonly id: string } | undefined {
  const [, nonce, id] = /^([\w-]+):(\d{1,19}-\d{1,19})$/.exec(position) ?? [];
  return nonce === undefined || id === undefined ? undefined : { nonce, id };
}

import type { Change, ChangeBatch } from '../cmdb.js';
import { unavailable } from '../unavailable.js';
import { newNonce } from './nonce.js';
import type { RedisClient } from './connect.js';
import type { Link } from './link.js';

export interface ChangeLogOptions {
  readonly link: Link;
  readonly key: string;
  /** Names this life of the store; positions belong to it. */
  readonly nonceKey: string;
  /** Entries kept, about. */
  readonly length: number;
  /** Longest wait for a change, in milliseconds. */
  readonly waitMs: number;
  /** Of everything that does not wait for a change, in milliseconds. */
  readonly timeLimitMs: number;
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
    // Whoever stands at an entry has seen all before it; where that entry is gone, nobody knows what came after it.
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

  /** Until there is something after `position`, the time is up, or the signal aborts. */
  async #wait(position: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#closed) return;
    const { waitMs, timeLimitMs, key } = this.#options;
    const reader = (this.#reader ??= this.#open());
    let onAbort = () => {};
    const ended = new Promise<void>((resolve) => (onAbort = resolve));
    // The read cannot be called back; its connection goes with it. A silent server is not waited for.
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
      // The signal lives as long as the node does: what is left on it would be kept for every change ever seen.
      signal.removeEventListener('abort', onAbort);
    }
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

async function ready(reader: RedisClient): Promise<void> {
  if (reader.status === 'ready') return;
  await new Promise<void>((resolve, reject) => {
    reader.once('ready', resolve);
    reader.once('close', () => reject(new Error('no connection for the change log')));
  });
}

/** Resolves with the work or when it was called off; rejects with the work, or after the limit. */
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
  // What is left behind fails with its connection.
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

/** Nobody, where it cannot be read: the schedule names the app as well. */
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

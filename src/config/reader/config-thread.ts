import { resolve } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { assemble } from '../assemble.js';
import type { Config } from '../config.js';
import type { Environment } from '../interpolate.js';
import { ConfigError } from '../problem.js';
import type { FileApp, Places } from '../reading.js';
import { ParseWatch, type ThreadAnswer, type ThreadData, type ThreadOrder } from './thread-messages.js';

export interface ConfigThreadOptions {
  readonly file: string;
  readonly env: Environment;
  /** Longest time for one document. */
  readonly documentMs?: number;
  /** What runs in the thread; tests run another program. */
  readonly program?: URL;
}

/** Far more than a document of the allowed size takes on the slowest machine. */
const defaultDocumentMs = 60_000;
const heapMebibytes = 1024;

type Answer<Kind extends ThreadAnswer['kind']> = Extract<ThreadAnswer, { kind: Kind }>;

/**
 * Reads the configuration in a thread, so that no request waits while files, which customers may write, are listed, parsed and
 * checked. A file on which the thread dies or that takes too long is left out until it changes.
 */
export class ConfigThread {
  readonly #options: ConfigThreadOptions;
  readonly #skip = new Map<string, string>();
  readonly #apps = new Map<string, FileApp>();
  #places: Places = { patterns: [], targets: [], directories: [] };
  #before: Config | undefined;
  #thread: Thread | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  /** Threads that ended while they parsed a file. */
  #deaths = 0;
  #closed = false;

  constructor(options: ConfigThreadOptions) {
    this.#options = options;
  }

  /**
   * What the files say now; an app that says the same as last time is the same object. `changed`: see ConfigReader. Throws a
   * ConfigError if the main file is wrong.
   */
  load(changed?: readonly string[]): Promise<Config> {
    const loading = this.#queue.then(() => this.#load(changed));
    this.#queue = loading.catch(() => {});
    return loading;
  }

  /** Re-entrant. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#thread?.worker.terminate();
    this.#thread = undefined;
  }

  async #load(changed: readonly string[] | undefined): Promise<Config> {
    for (;;) {
      const before = this.#deaths;
      try {
        return await this.#read(changed);
      } catch (error) {
        // Each round leaves out one file more.
        if (this.#closed || this.#deaths === before) throw error;
      }
    }
  }

  async #read(changed: readonly string[] | undefined): Promise<Config> {
    const answer = await this.#ask({ kind: 'read', changed }, 'reading');
    const fresh = new Map<string, FileApp>();
    while (fresh.size < answer.changed) {
      const { apps } = await this.#ask({ kind: 'more' }, 'apps');
      for (const it of apps) fresh.set(it.app.name, it);
      // Requests are served between two of these.
      await turn();
    }
    for (const name of answer.reading.removed) this.#apps.delete(name);
    for (const [name, it] of fresh) this.#apps.set(name, it);
    await turn();
    this.#places = answer.reading.places ?? this.#places;
    const reading = { ...answer.reading, apps: [...this.#apps.values()], places: this.#places };
    this.#before = assemble(reading, resolve(this.#options.file), this.#before);
    await turn();
    return this.#before;
  }

  async #ask<Kind extends ThreadAnswer['kind']>(order: ThreadOrder, kind: Kind): Promise<Answer<Kind>> {
    const answer = await this.#exchange(order);
    if (answer.kind === 'refused') throw new ConfigError(answer.problems);
    if (answer.kind === 'failed') throw new Error(answer.message);
    if (answer.kind !== kind) throw new Error(`the thread that reads files answered ${answer.kind} to ${order.kind}`);
    return answer as Answer<Kind>;
  }

  async #exchange(order: ThreadOrder): Promise<ThreadAnswer> {
    if (this.#closed) throw new Error('no more files are read');
    const { documentMs = defaultDocumentMs } = this.#options;
    const thread = (this.#thread ??= this.#start());
    const { worker, watch, answers } = thread;
    let seen = watch.count;
    let since = performance.now();
    let late = false;
    const look = setInterval(() => {
      if (watch.count !== seen || watch.file === '') [seen, since] = [watch.count, performance.now()];
      late ||= performance.now() - since > documentMs;
      if (late) void worker.terminate();
    }, documentMs / 20);
    worker.ref();
    worker.postMessage(order);
    try {
      return await answers.next();
    } catch (error) {
      this.#thread = undefined;
      this.#apps.clear();
      const why = late ? `it takes longer than ${documentMs / 1000} s` : (error as Error).message;
      if (watch.file !== '') {
        this.#skip.set(watch.file, `cannot be read: ${why}; it is read again when it changes`);
        this.#deaths += 1;
      }
      throw error;
    } finally {
      clearInterval(look);
      worker.unref();
    }
  }

  #start(): Thread {
    const { file, env, program = new URL('thread-main.js', import.meta.url) } = this.#options;
    const watch = ParseWatch.memory();
    const known = this.#before && new Map(Object.entries(this.#before.appFiles));
    const data: ThreadData = { file, env: { ...env }, watch, skip: this.#skip, ...(known && { known }) };
    const worker = new Worker(program, {
      workerData: data,
      resourceLimits: { maxOldGenerationSizeMb: heapMebibytes },
    });
    return { worker, watch: new ParseWatch(watch), answers: new Answers(worker) };
  }
}

interface Thread {
  readonly worker: Worker;
  readonly watch: ParseWatch;
  readonly answers: Answers;
}

/** Answers of the thread, one at a time. Its end rejects the pending one and all later ones. */
class Answers {
  #waiting: { settle(answer: ThreadAnswer): void; reject(error: Error): void } | undefined;
  #end: Error | undefined;

  constructor(worker: Worker) {
    worker.on('message', (answer: ThreadAnswer) => this.#waiting?.settle(answer));
    const end = (error: Error) => {
      this.#end ??= error;
      this.#waiting?.reject(this.#end);
    };
    worker.on('error', end);
    worker.on('exit', () => end(new Error('the thread that reads files ended')));
  }

  next(): Promise<ThreadAnswer> {
    if (this.#end) return Promise.reject(this.#end);
    return new Promise((settle, reject) => (this.#waiting = { settle, reject }));
  }
}

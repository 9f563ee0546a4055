import { Cluster } from 'ioredis';
import type { Logger } from 'pino';
import { unavailable } from '../unavailable.js';
import type { RedisClient } from './connect.js';
import { IdentityGate } from './identity-gate.js';
import { withScripts } from './scripts.js';

/** A command by name with its arguments. */
export type Command = readonly (string | number)[];

type Commands = Record<string, (...args: (string | number)[]) => Promise<unknown>>;

/** The connection for everything that does not wait: commands have a limit, and failures one error. */
export class Link {
  readonly #client: RedisClient;
  readonly #timeLimitMs: number;
  readonly isCluster: boolean;
  /** Of a cluster, which no single connection stands for, it is always open. */
  readonly identity = new IdentityGate();
  #lost = false;
  #lastError: Error | undefined;
  isClosed = false;
  #becomingReady: Promise<void> | undefined;

  constructor(client: RedisClient, logger: Logger, timeLimitMs: number) {
    this.#client = withScripts(client);
    this.#timeLimitMs = timeLimitMs;
    this.isCluster = client instanceof Cluster;
    // Without a listener an error event would end the process; the state is logged when it changes, not per attempt.
    let wasConnected = false;
    client.on('error', (error: Error) => (this.#lastError = error));
    client.on('close', () => {
      if (!this.isCluster) this.identity.lost();
      if (this.#lost || this.isClosed) return;
      this.#lost = true;
      // If it was never reached, whatever needs it says so.
      logger[wasConnected ? 'warn' : 'debug']({ err: this.#lastError }, 'no connection to Redis; trying again');
    });
    client.on('ready', () => {
      wasConnected = true;
      if (this.#lost) logger.info('connected to Redis');
      this.#lost = false;
      this.#lastError = undefined;
    });
  }

  async one(command: Command): Promise<unknown> {
    return (await this.all([command]))[0];
  }

  /**
   * In one round trip. Waits until it is known which store answers.
   */
  async all(commands: readonly Command[]): Promise<unknown[]> {
    if (commands.length === 0) return [];
    await this.#ready();
    await this.identity.pass(this.#timeLimitMs).catch((error: unknown) => {
      throw unavailable(error);
    });
    return this.ofAnyStore(commands);
  }

  /** Like `all`, for what tells stores apart. */
  async ofAnyStore(commands: readonly Command[]): Promise<unknown[]> {
    await this.#ready();
    try {
      return await this.#pipeline(commands);
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Waits for a connection; names it. */
  async connected(): Promise<number> {
    await this.#ready();
    return this.identity.connection;
  }

  /** The values of these keys, of one moment. */
  async values(keys: readonly string[]): Promise<(string | undefined)[]> {
    if (keys.length === 0) return [];
    return ((await this.one(['mget', ...keys])) as (string | null)[]).map((value) => value ?? undefined);
  }

  close(): void {
    this.isClosed = true;
    this.#client.disconnect();
  }

  async #pipeline(commands: readonly Command[]): Promise<unknown[]> {
    const pipeline = this.#client.pipeline();
    for (const [name, ...args] of commands) void (pipeline as unknown as Commands)[name as string]?.(...args);
    const results = await this.#limited(pipeline.exec());
    return (results ?? []).map(([error, value]) => {
      if (error) throw error;
      return value;
    });
  }

  /** The limit of a command does not cover a pipeline whose connection hangs. */
  #limited<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer within ${this.#timeLimitMs} ms`)), this.#timeLimitMs);
      work.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  /** Waits for a connection that is being made, for as long as a command may take: one wait for all who ask meanwhile. */
  async #ready(): Promise<void> {
    if (this.isClosed) throw unavailable(new Error('the connection is closed'));
    if (this.#client.status === 'ready') return;
    this.#becomingReady ??= this.#becomeReady().finally(() => (this.#becomingReady = undefined));
    await this.#becomingReady;
  }

  #becomeReady(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.#client.off('ready', done);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#client.off('ready', done);
        reject(unavailable(this.#lastError ?? new Error('not connected')));
      }, this.#timeLimitMs);
      this.#client.once('ready', done);
    });
  }
}

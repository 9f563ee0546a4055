import { Cluster } from '../../libraries/ioredis.js';
import type { Logger } from 'pino';
import { unavailable } from '../unavailable.js';
import type { RedisClient } from './connect.js';
import { IdentityGate } from './identity-gate.js';
import { withScripts } from './scripts.js';

/** A command by name with its arguments. */
export type Command = readonly (string | number)[];

type Commands = Record<string, (...args: (string | number)[]) => Promise<unknown>>;

/** The connection for all commands that do not block: each has a time limit, and every failure is `cmdb_unavailable`. */
export class Link {
  readonly #client: RedisClient;
  readonly #timeLimitMs: number;
  readonly isCluster: boolean;
  /** Always open for a cluster, which has no single connection. */
  readonly identity = new IdentityGate();
  #lost = false;
  #lastError: Error | undefined;
  isClosed = false;
  #becomingReady: Promise<void> | undefined;

  constructor(client: RedisClient, logger: Logger, timeLimitMs: number) {
    this.#client = withScripts(client);
    this.#timeLimitMs = timeLimitMs;
    this.isCluster = client instanceof Cluster;
    // Without a listener an error event would end the process. The state is logged when it changes, not per attempt.
    let wasConnected = false;
    client.on('error', (error: Error) => (this.#lastError = error));
    client.on('close', () => {
      if (!this.isCluster) this.identity.lost();
      if (this.#lost || this.isClosed) return;
      this.#lost = true;
      // If it was never reached, the first command that needs it says so.
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

  /** Runs the commands in one round trip, as soon as it is known which store answers. */
  async all(commands: readonly Command[]): Promise<unknown[]> {
    if (commands.length === 0) return [];
    await this.#ready();
    await this.identity.pass(this.#timeLimitMs).catch((error: unknown) => {
      throw unavailable(error);
    });
    return this.ofAnyStore(commands);
  }

  /** Like `all`, but without waiting for the store's identity: for the commands that tell it. */
  async ofAnyStore(commands: readonly Command[]): Promise<unknown[]> {
    await this.#ready();
    try {
      return await this.#pipeline(commands);
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Waits for a connection; resolves to its number. */
  async connected(): Promise<number> {
    await this.#ready();
    return this.identity.connection;
  }

  /** The values of these keys at one moment. */
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

  /** Bounds a pipeline, as the client's limit of a command does not cover one whose connection hangs. */
  #limited<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer within ${this.#timeLimitMs} ms`)), this.#timeLimitMs);
      work.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  /** Waits for the connection, for as long as a command may take; concurrent callers share one wait. */
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

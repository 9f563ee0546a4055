import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { Redis } from 'ioredis';

/** A time in which the store was away. performance.now(). */
export interface Outage {
  readonly from: number;
  /** When it answered again; undefined while it does not. */
  until?: number;
  readonly empty: boolean;
}

/** A redis-server of the soak's own, with its data on disk. */
export class SoakRedis {
  readonly port: number;
  readonly outages: Outage[] = [];
  readonly #dir: string;
  #child: ChildProcess | undefined;

  constructor(port: number, dir: string) {
    this.port = port;
    this.#dir = dir;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}/0`;
  }

  get isUp(): boolean {
    return this.#child !== undefined;
  }

  /** Resolves when it answers and has loaded what it had. */
  async start(): Promise<void> {
    await mkdir(this.#dir, { recursive: true });
    // A kill loses nothing of it: what was answered was handed to the kernel before.
    const settings = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec', '--dir', this.#dir];
    this.#child = spawn('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1', ...settings], {
      stdio: 'ignore',
    });
    const { pid } = this.#child;
    process.once('exit', () => this.#child?.pid === pid && this.#child?.kill('SIGKILL'));
    const ended = once(this.#child, 'exit').then(() => Promise.reject(new Error('redis-server ended')));
    ended.catch(() => {});
    const probe = new Redis({
      port: this.port,
      host: '127.0.0.1',
      retryStrategy: () => 20,
      maxRetriesPerRequest: null,
    });
    probe.on('error', () => {});
    try {
      await Promise.race([probe.ping(), ended]);
    } finally {
      probe.disconnect();
    }
    const outage = this.outages.at(-1);
    if (outage) outage.until ??= performance.now();
  }

  /** kill -9; `empty`: and what it knew is lost. */
  async kill(empty: boolean): Promise<void> {
    const child = this.#child;
    if (!child) return;
    this.outages.push({ from: performance.now(), empty });
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    this.#child = undefined;
    if (empty) await rm(this.#dir, { recursive: true, force: true });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (!child) return;
    this.#child = undefined;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

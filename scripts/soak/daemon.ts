import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DaemonCommand, runDaemon } from '../load/daemon-command.js';
import { childrenOf, freeze, peerPorts } from './freeze.js';
import type { Kill } from './kills.js';

export interface SoakDaemonOptions {
  readonly name: string;
  readonly port: number;
  readonly configFile: string;
  readonly logFile: string;
  readonly onLine: (line: Record<string, unknown>) => void;
  /** It ended though nobody killed it, or could not start. */
  readonly onFault: (what: string) => void;
}

/** Between an end and the next start, as systemd's RestartSec=. */
const restartMs = 500;

/** A daemon as a supervisor such as systemd keeps it: started again whenever it ended, however it did. */
export class SoakDaemon {
  readonly port: number;
  readonly name: string;
  readonly #options: SoakDaemonOptions;
  #command: DaemonCommand | undefined;
  #admin: string | undefined;
  #killing = false;
  #stopping = false;

  constructor(options: SoakDaemonOptions) {
    this.#options = options;
    this.name = options.name;
    this.port = options.port;
  }

  /** Whether it accepts requests: what a load balancer in front of it knows. */
  get isUp(): boolean {
    return this.#admin !== undefined;
  }

  /** Base URL of the admin side. */
  get admin(): string {
    if (this.#admin === undefined) throw new Error(`daemon ${this.name} is down`);
    return this.#admin;
  }

  /** Resolves when it listens. Rejects where it does not get that far. */
  async start(): Promise<void> {
    const { configFile, logFile, onLine } = this.#options;
    const command = runDaemon(configFile, logFile, onLine);
    this.#command = command;
    this.#killing = false;
    command.child.once('exit', (code, signal) => void this.#ended(command, signal ?? `code ${code}`));
    const { admin } = await command.listening;
    if (this.#command === command && !this.#killing) this.#admin = admin;
  }

  /** kill -9 of some of its workers at once, or of all; undefined where none was to be had. */
  killWorkers(choose: (workers: readonly number[]) => readonly number[]): Kill | undefined {
    const pids = choose(this.#workers()).filter((pid) => freeze(pid));
    if (pids.length === 0) return undefined;
    const clientPorts = new Set(pids.flatMap((pid) => [...peerPorts(pid)]));
    const kill: Kill = { kind: 'worker', at: performance.now(), pids, clientPorts };
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    return kill;
  }

  /** kill -9 of all its processes at once. */
  kill(): Kill | undefined {
    const pid = this.#command?.child.pid;
    if (pid === undefined || this.#admin === undefined) return undefined;
    this.#admin = undefined;
    this.#killing = true;
    // None may see another one die and do something about it, as it would not if the machine's service manager did this.
    freeze(pid);
    const pids = [pid, ...this.#workers()];
    for (const each of pids) freeze(each);
    const kill: Kill = { kind: 'daemon', at: performance.now(), port: this.port, pids };
    for (const each of pids) process.kill(each, 'SIGKILL');
    return kill;
  }

  /** SIGTERM; resolves to the exit code. */
  async stop(): Promise<number | null> {
    this.#stopping = true;
    const child = this.#command?.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
    return child.exitCode;
  }

  #workers(): number[] {
    return childrenOf(this.#command?.child.pid as number, 'worker-main.js');
  }

  async #ended(command: DaemonCommand, how: string): Promise<void> {
    if (this.#command !== command) return;
    this.#admin = undefined;
    if (this.#stopping) return;
    if (!this.#killing) this.#options.onFault(`daemon ${this.name} ended by itself with ${how}`);
    await sleep(restartMs);
    if (!this.#stopping) await this.start().catch(() => {});
  }
}

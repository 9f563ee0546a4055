import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../model/clock.js';
import type { Address } from '../model/instance.js';
import { identify, isRunning, listeningInodes, type ProcessIdentity, socketInodes } from '../proc-fs.js';
import { membersOf } from './process/members.js';
import { Output } from './process/output.js';
import { Ports } from './process/ports.js';
import { type ProcessRecord, ProcessRecords } from './process/records.js';
import { start } from './process/start.js';
import type { BootOptions, Exit, FoundInstance, InstanceSpec, Inspection, Runtime } from './runtime.js';

export interface ProcessRuntimeOptions {
  /** Directory of records, output and port leases; processes on one machine may share it. */
  readonly stateDir: string;
  readonly cmdbName: string;
  readonly ports: { readonly from: number; readonly to: number };
  /** Where apps are told to listen; loopback unless told. */
  readonly bindHost?: string;
  /** Under which address others reach them; `bindHost` unless told. */
  readonly advertiseHost?: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Of each instance's output file; 1 MiB unless told. */
  readonly outputMaxBytes?: number;
  /** Of each instance's output in the log; 50 unless told. */
  readonly logLinesPerSecond?: number;
}

/** How often processes that are not our children are looked at: a dispatcher before this one started them. */
const adoptedCheckMs = 1_000;
const deathCheckMs = 5;
const longestDeathCheckMs = 100;
/** After SIGKILL the kernel may take its time with a process in an uninterruptible call. */
const killLimitMs = 30_000;

/** Opens the runtime that runs apps as plain processes of this machine, and takes up those that run already. */
export async function openProcessRuntime(options: ProcessRuntimeOptions): Promise<Runtime> {
  const runtime = new ProcessRuntime(options);
  await runtime.open();
  return runtime;
}

class ProcessRuntime implements Runtime {
  readonly name = 'process';
  readonly #options: ProcessRuntimeOptions;
  readonly #records: ProcessRecords;
  readonly #ports: Ports;
  readonly #output: Output;
  readonly #bindHost: string;
  readonly #watchers = new Set<(exit: Exit) => void>();
  /** Running processes of an earlier dispatcher, by instance id. */
  readonly #adopted = new Map<string, ProcessRecord>();
  /** Causes of death of our children, until they are stopped. */
  readonly #causes = new Map<string, string>();
  readonly #stopping = new Map<string, Promise<void>>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: ProcessRuntimeOptions) {
    const { stateDir, logger, clock } = options;
    this.#options = options;
    this.#bindHost = options.bindHost ?? '127.0.0.1';
    this.#records = new ProcessRecords(join(stateDir, 'instances'));
    this.#ports = new Ports({ directory: join(stateDir, 'ports'), ...options.ports, bindHost: this.#bindHost, clock });
    this.#output = new Output({
      directory: join(stateDir, 'output'),
      logger,
      clock,
      maxBytes: options.outputMaxBytes ?? 1024 * 1024,
      linesPerSecond: options.logLinesPerSecond ?? 50,
    });
  }

  async open(): Promise<void> {
    await this.#records.open();
    await this.#output.open();
    await this.#ports.open(async (id) => (await this.#records.read(id)) !== undefined);
    for (const record of await this.#mine()) await this.#adopt(record);
    this.#checkAdopted();
  }

  async boot(spec: InstanceSpec, { signal, onPhase }: BootOptions): Promise<Address> {
    const { clock, cmdbName, advertiseHost } = this.#options;
    const { id, app, revision } = spec;
    const from = clock.monotonic();
    signal.throwIfAborted();
    const port = await this.#ports.lease(id);
    const record: ProcessRecord = { v: 1, id, app: app.name, revision, cmdb: cmdbName, port };
    try {
      await this.#records.write(record);
      const createdAt = clock.monotonic();
      onPhase('create', createdAt - from);
      await this.#start(spec, record);
      onPhase('start', clock.monotonic() - createdAt);
      signal.throwIfAborted();
      return { host: advertiseHost ?? this.#bindHost, port };
    } catch (error) {
      await this.stop(id, 0);
      throw error;
    }
  }

  stop(id: string, graceMs: number): Promise<void> {
    const stopping = this.#stopping.get(id) ?? this.#stop(id, graceMs).finally(() => this.#stopping.delete(id));
    this.#stopping.set(id, stopping);
    return stopping;
  }

  async inspect(id: string): Promise<Inspection> {
    const record = await this.#records.read(id);
    if (!record) return { state: 'gone' };
    if (!record.process || !isRunning(record.process)) return { state: 'exited', cause: this.#causeOf(id) };
    return { state: 'running', listening: await isListening(record) };
  }

  async list(): Promise<FoundInstance[]> {
    const host = this.#options.advertiseHost ?? this.#bindHost;
    return (await this.#mine()).map(({ id, app, revision, port, process }) => ({
      id,
      app,
      revision,
      running: process !== undefined && isRunning(process),
      address: { host, port },
    }));
  }

  watch(onExit: (exit: Exit) => void): () => void {
    this.#watchers.add(onExit);
    return () => this.#watchers.delete(onExit);
  }

  output(id: string, maxBytes: number): Promise<string> {
    return this.#output.tail(id, maxBytes);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#watchers.clear();
    this.#output.close();
    await Promise.all(this.#stopping.values());
  }

  async #mine(): Promise<ProcessRecord[]> {
    return (await this.#records.all()).filter(({ cmdb }) => cmdb === this.#options.cmdbName);
  }

  async #start(spec: InstanceSpec, record: ProcessRecord): Promise<void> {
    const { cmdbName } = this.#options;
    const { id, app } = spec;
    const file = await this.#output.create(id);
    let child: ChildProcess;
    try {
      child = await start({ spec, cmdbName, host: this.#bindHost, port: record.port, output: file.fd });
    } finally {
      await file.close();
    }
    // The identity is read before anything else is waited for: until the exit is reaped, the pid cannot be another's.
    const whole = { ...record, process: identify(child.pid ?? 0) };
    child.once('exit', (code, signal) => this.#died(whole, signal ? `signal ${signal}` : `exit code ${code ?? 0}`));
    await this.#records.write(whole);
    await this.#output.follow(id, app.name, false);
    if (app.limits.memoryBytes !== undefined || app.limits.cpus !== undefined || app.limits.pids !== undefined) {
      this.#options.logger.debug({ app: app.name }, 'the process runtime does not enforce limits; use docker for that');
    }
  }

  #died(record: ProcessRecord, cause: string): void {
    this.#causes.set(record.id, cause);
    this.#adopted.delete(record.id);
    // An instance is its main process: what it left behind must not hold the port.
    if (!this.#stopping.has(record.id)) void this.#killLeftovers(record);
    for (const watcher of this.#watchers) watcher({ id: record.id, app: record.app, cause });
  }

  async #killLeftovers(record: ProcessRecord): Promise<void> {
    for (const pid of await membersOf(record)) kill(pid, 'SIGKILL');
  }

  #causeOf(id: string): string {
    return this.#causes.get(id) ?? 'it ended while no dispatcher watched';
  }

  async #adopt(record: ProcessRecord): Promise<void> {
    if (!record.process || !isRunning(record.process)) return;
    this.#adopted.set(record.id, record);
    await this.#output.follow(record.id, record.app, true);
  }

  #checkAdopted(): void {
    if (this.#closed) return;
    for (const record of this.#adopted.values()) {
      if (record.process && !isRunning(record.process)) this.#died(record, 'it ended');
    }
    if (this.#adopted.size === 0) return;
    this.#timer = this.#options.clock.after(adoptedCheckMs, () => this.#checkAdopted());
  }

  async #stop(id: string, graceMs: number): Promise<void> {
    const record = await this.#records.read(id);
    if (!record) return;
    const { clock } = this.#options;
    const leader = record.process;
    if (leader && isRunning(leader) && graceMs > 0) {
      if (!kill(-leader.pid, 'SIGTERM')) kill(leader.pid, 'SIGTERM');
      await this.#untilDead(leader, clock.monotonic() + graceMs);
    }
    await this.#killAll(record);
    await this.#records.remove(id);
    await this.#output.remove(id);
    this.#adopted.delete(id);
    this.#causes.delete(id);
    await this.#ports.free(record.port);
  }

  /** Kills until no member is left: a process may start another one while it is being killed. */
  async #killAll(record: ProcessRecord): Promise<void> {
    const limit = this.#options.clock.monotonic() + killLimitMs;
    for (;;) {
      const left = await membersOf(record);
      if (left.length === 0) return;
      for (const pid of left) kill(pid, 'SIGKILL');
      if (this.#options.clock.monotonic() > limit) {
        throw new Error(`processes ${left.join(', ')} of ${record.id} do not die after SIGKILL`);
      }
      await this.#pause(deathCheckMs);
    }
  }

  async #untilDead(leader: ProcessIdentity, deadline: number): Promise<void> {
    let pauseMs = deathCheckMs;
    while (isRunning(leader) && this.#options.clock.monotonic() < deadline) {
      await this.#pause(pauseMs);
      pauseMs = Math.min(longestDeathCheckMs, pauseMs * 1.5);
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(delayMs, resolve));
  }
}

/** Whether one of the instance's processes holds a listening socket on its port. */
async function isListening(record: ProcessRecord): Promise<boolean | undefined> {
  const inodes = await listeningInodes(record.port);
  if (!inodes || !record.process) return undefined;
  if (inodes.length === 0) return false;
  const own = await socketInodes(record.process.pid);
  if (!own) return undefined;
  if (inodes.some((inode) => own.has(inode))) return true;
  const others = await Promise.all((await membersOf(record)).map((pid) => socketInodes(pid)));
  return others.some((held) => held && inodes.some((inode) => held.has(inode)));
}

/** False where there is no such process. */
function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

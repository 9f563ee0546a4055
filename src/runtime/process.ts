import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import type { Address } from '../model/instance.js';
import { identify, isRunning, type ProcessIdentity } from '../proc-fs.js';
import type { Account } from './process/account.js';
import { Accounts } from './process/accounts.js';
import type { Command } from './process/child.js';
import { Dispatchers } from './process/dispatchers.js';
import { end } from './process/end.js';
import { Exits } from './process/exits.js';
import { Launcher } from './process/launcher.js';
import { Listening } from './process/listening.js';
import { findMain } from './process/members.js';
import { Output } from './process/output.js';
import { Ports } from './process/ports.js';
import { isSafeId, newSecret, type ProcessRecord, ProcessRecords } from './process/records.js';
import { start } from './process/start.js';
import type { BootOptions, Exit, FoundInstance, InstanceSpec, Inspection, Runtime } from './runtime.js';

export { processFindings } from './process/findings.js';

export interface ProcessRuntimeOptions {
  /** Directory of records, output and port leases; processes on one machine may share it. */
  readonly stateDir: string;
  readonly cmdbName: string;
  readonly ports: { readonly from: number; readonly to: number };
  /** Numbers that apps with `user: auto` get. */
  readonly users: { readonly from: number; readonly to: number };
  /** Apps may have groups of a dispatcher that is not root, even if these are as good as root. */
  readonly inheritGroups?: boolean;
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

/**
 * Opens the runtime that runs apps as plain processes of this machine, and takes up those that run already. Throws an
 * Error where the directory cannot be used, or the machine has no /proc, without which no process can be trusted.
 */
export async function openProcessRuntime(options: ProcessRuntimeOptions): Promise<Runtime> {
  const runtime = new ProcessRuntime(options);
  await runtime.open();
  return runtime;
}

interface Boot {
  /** Aborted by a stop that comes meanwhile. */
  readonly stop: AbortController;
  /** Resolves when the boot has ended, however. */
  readonly done: Promise<unknown>;
}

class ProcessRuntime implements Runtime {
  readonly name = 'process';
  readonly #options: ProcessRuntimeOptions;
  readonly #records: ProcessRecords;
  readonly #ports: Ports;
  readonly #accounts: Accounts;
  readonly #output: Output;
  readonly #exits: Exits;
  readonly #dispatchers: Dispatchers;
  readonly #listening: Listening;
  readonly #launcher: Launcher;
  readonly #bindHost: string;
  readonly #booting = new Map<string, Boot>();
  readonly #stopping = new Map<string, Promise<void>>();
  /** Records that could not be read: said once each. */
  readonly #said = new Set<string>();

  constructor(options: ProcessRuntimeOptions) {
    const { stateDir, logger, clock, outputMaxBytes: maxBytes = 1024 * 1024, logLinesPerSecond = 50 } = options;
    this.#options = options;
    this.#bindHost = options.bindHost ?? '127.0.0.1';
    this.#records = new ProcessRecords(join(stateDir, 'instances'), (path) => this.#sayUnreadable(path));
    const isKnown = async (id: string) => (await this.#records.read(id)) !== undefined;
    const directory = join(stateDir, 'ports');
    this.#ports = new Ports({ directory, ...options.ports, bindHost: this.#bindHost, clock, isKnown });
    const { cmdbName, users: range, inheritGroups = false } = options;
    this.#accounts = new Accounts({ directory: join(stateDir, 'users'), cmdbName, range, inheritGroups });
    const linesPerSecond = logLinesPerSecond;
    this.#output = new Output({ directory: join(stateDir, 'output'), logger, clock, maxBytes, linesPerSecond });
    this.#listening = new Listening({ clock, logger });
    this.#launcher = new Launcher({ clock, logger });
    this.#exits = new Exits({
      clock,
      onDeath: (record) => void this.#killLeftovers(record),
      onCheck: (record) => this.#followOrphan(record),
    });
    this.#dispatchers = new Dispatchers({
      directory: join(stateDir, 'dispatchers'),
      cmdbName: options.cmdbName,
      clock,
      onDuty: () => void this.#adoptAll(),
    });
  }

  async open(): Promise<void> {
    if (identify(process.pid).startTime === '') {
      throw new Error('the process runtime needs /proc, which this machine does not show; use docker instead');
    }
    await mkdir(this.#options.stateDir, { recursive: true, mode: 0o700 });
    await this.#records.open();
    await this.#ports.open();
    await this.#accounts.open();
    await this.#output.open(async (id) => (await this.#records.read(id)) !== undefined);
    await this.#dispatchers.open();
    if (this.#dispatchers.isEldest) await this.#adoptAll();
  }

  boot(spec: InstanceSpec, { signal, onPhase }: BootOptions): Promise<Address> {
    const { id } = spec;
    if (this.#booting.has(id)) return Promise.reject(new Error(`instance ${id} boots already`));
    const stop = new AbortController();
    const booting = this.#boot(spec, { signal: AbortSignal.any([signal, stop.signal]), onPhase }).finally(() =>
      this.#booting.delete(id),
    );
    this.#booting.set(id, { stop, done: booting.catch(() => {}) });
    return booting;
  }

  stop(id: string, graceMs: number): Promise<void> {
    const stopping = this.#stopping.get(id) ?? this.#stop(id, graceMs).finally(() => this.#stopping.delete(id));
    this.#stopping.set(id, stopping);
    return stopping;
  }

  async inspect(id: string): Promise<Inspection> {
    const found = await this.#records.read(id);
    if (!found) return { state: 'gone' };
    const record = await this.#resolve(found);
    if (!isAlive(record)) return { state: 'exited', cause: await this.#exits.causeOf(id) };
    return { state: 'running', listening: await this.#listening.isOwn(record) };
  }

  async listener(id: string): Promise<string | undefined> {
    const open = this.#listening.stillOpen(id);
    if (open !== undefined) return open;
    const found = await this.#records.read(id);
    return found && this.#listening.nameOf(await this.#resolve(found));
  }

  async list(): Promise<FoundInstance[]> {
    const records = await Promise.all((await this.#mine()).map((record) => this.#resolve(record)));
    // What another dispatcher started since is watched from now on: it may die before its instances do.
    if (this.#dispatchers.isEldest) for (const record of records) this.#exits.adopt(record);
    return records.map((record) => {
      const { id, app, revision, host, port } = record;
      return { id, app, revision, running: isAlive(record), address: { host, port } };
    });
  }

  watch(onExit: (exit: Exit) => void): () => void {
    return this.#exits.watch(onExit);
  }

  output(id: string, maxBytes: number): Promise<string> {
    return this.#output.tail(id, maxBytes);
  }

  async close(): Promise<void> {
    this.#dispatchers.close();
    this.#exits.close();
    this.#output.close();
    await Promise.allSettled(this.#stopping.values());
    await this.#launcher.close();
  }

  /** Those of dispatchers that died, and those of living ones in case they do. */
  async #adoptAll(): Promise<void> {
    try {
      for (const record of await this.#mine()) this.#exits.adopt(await this.#resolve(record));
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'could not look for the instances of other dispatchers');
    }
  }

  async #mine(): Promise<ProcessRecord[]> {
    return (await this.#records.all()).filter(({ cmdb }) => cmdb === this.#options.cmdbName);
  }

  async #boot(spec: InstanceSpec, { signal, onPhase }: BootOptions): Promise<Address> {
    const { clock, cmdbName, advertiseHost } = this.#options;
    const { id, app, revision } = spec;
    const from = clock.monotonic();
    signal.throwIfAborted();
    if (!isSafeId(id)) throw new Error(`'${id}' is no instance id: lower-case letters, digits and '-' make one`);
    const [exists, port] = await Promise.all([this.#records.has(id), this.#ports.lease(id)]);
    if (exists) {
      await this.#ports.free(port, id);
      throw new Error(`instance ${id} exists already; ids are never used again`);
    }
    const host = advertiseHost ?? this.#bindHost;
    const booter = identify(process.pid);
    const secret = newSecret();
    let record: ProcessRecord = { v: 1, id, app: app.name, revision, cmdb: cmdbName, host, port, booter, secret };
    try {
      const account = await this.#accounts.of(app);
      record = { ...record, uid: account.uid };
      await this.#records.write(record);
      const createdAt = clock.monotonic();
      onPhase('create', createdAt - from);
      signal.throwIfAborted();
      record = { ...record, process: await this.#start(spec, record, account) };
      if (!(await this.#records.has(id))) throw new Error(`instance ${id} was stopped while it booted`);
      await this.#records.write(record);
      this.#output.follow(id, app.name, false);
      onPhase('start', clock.monotonic() - createdAt);
      signal.throwIfAborted();
      return { host, port };
    } catch (error) {
      // Where this fails too, the record stays, is listed, and can be stopped again: the first error is what matters.
      await this.#remove(record, 0).catch(() => {});
      throw error;
    }
  }

  async #start(spec: InstanceSpec, record: ProcessRecord, account: Account): Promise<ProcessIdentity> {
    const { id, port, secret = '' } = record;
    const file = await this.#output.create(id);
    try {
      const output = { fd: file.fd, path: this.#output.pathOf(id) };
      const parent = this.#exits.parentOf(record);
      const launch = (command: Command) => this.#launcher.start({ record, command, output, ...parent });
      return await start({
        spec,
        secret,
        account,
        cmdbName: this.#options.cmdbName,
        host: this.#bindHost,
        port,
        launch,
      });
    } finally {
      await file.close();
    }
  }

  async #stop(id: string, graceMs: number): Promise<void> {
    const boot = this.#booting.get(id);
    boot?.stop.abort(new Error(`instance ${id} was stopped while it booted`));
    await boot?.done;
    const found = await this.#records.read(id);
    if (!found) return;
    const record = await this.#resolve(found);
    if (this.#isElsewhere(record)) await this.#records.write({ ...record, stopper: identify(process.pid) });
    await this.#remove(record, graceMs);
  }

  /** The record goes last, so that what fails on the way can be tried again. */
  async #remove(record: ProcessRecord, graceMs: number): Promise<void> {
    const { id, port } = record;
    await end(record, { graceMs, clock: this.#options.clock });
    await this.#output.remove(id, this.#isElsewhere(record) && !this.#output.isFollowed(id));
    await this.#ports.free(port, id);
    await this.#records.remove(id);
    this.#exits.forget(id);
    this.#listening.forget(id);
  }

  /** An instance is its main process: what that left behind must not hold the port. A stop takes care of it itself. */
  async #killLeftovers(record: ProcessRecord): Promise<void> {
    if (this.#stopping.has(record.id)) return;
    const known = await this.#records.read(record.id);
    if (!known || (known.stopper && isRunning(known.stopper))) return;
    try {
      await end(record, { graceMs: 0, clock: this.#options.clock, trustGroup: true });
    } catch (error) {
      this.#options.logger.warn(
        { err: error, app: record.app, instance: record.id },
        'could not kill what an app left',
      );
    }
  }

  /** A dispatcher that died between the start and its record left only a marked process: it is looked for. */
  async #resolve(record: ProcessRecord): Promise<ProcessRecord> {
    if (record.process || isRunning(record.booter)) return record;
    const main = await findMain(record);
    if (!main) return record;
    const whole = { ...record, process: main };
    await this.#records.write(whole);
    return whole;
  }

  /** Whether another dispatcher started it that runs: it is told of the death, and follows the output. */
  #isElsewhere({ booter }: ProcessRecord): boolean {
    return booter.pid !== process.pid && isRunning(booter);
  }

  /** While the dispatcher that started it runs, that one writes its output to the log. */
  #followOrphan(record: ProcessRecord): void {
    const { id, app } = record;
    // A boot begins at the beginning of the file itself.
    if (this.#output.isFollowed(id) || this.#booting.has(id)) return;
    if (!this.#isElsewhere(record)) this.#output.follow(id, app, true);
  }

  #sayUnreadable(path: string): void {
    if (this.#said.has(path)) return;
    this.#said.add(path);
    const advice = 'if no process of it runs, remove the file';
    this.#options.logger.error({ path }, `the record of an instance cannot be read and is skipped; ${advice}`);
  }
}

/** An instance that is about to be started lives as long as the dispatcher that does it. */
function isAlive({ process, booter }: ProcessRecord): boolean {
  return isRunning(process ?? booter);
}

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import type { Address, RuntimeIdentity } from '../../model/instance.js';
import { shared } from '../../model/shared-work.js';
import { bootedAt, bootId, identify, isRunning, type ProcessIdentity, startedAtOf } from '../../machine/proc-fs.js';
import type { BootOptions, Exit, FoundInstance, InstanceSpec, Inspection, Runtime, Suspender } from '../runtime.js';
import type { Command } from './child.js';
import { removeGroup } from './control-groups.js';
import { directoryId } from './directory-id.js';
import { Dispatchers } from './dispatchers.js';
import { end } from './end.js';
import { Exits } from './exits.js';
import { freeze, isFrozen, reclaim, thaw } from './freezer.js';
import { Keepers } from './keeper/keepers.js';
import type { Exited, Kept } from './keeper/messages.js';
import { findMain } from './members.js';
import { Output } from './output.js';
import { isSafeId, newSecret, type ProcessRecord, ProcessRecords } from './records.js';

export interface KeptRuntimeOptions {
  /** Directory of records, output and leases; several dispatchers of one machine may share it. */
  readonly stateDir: string;
  readonly cmdbName: string;
  /** Distinguishes this installation from others of the same cmdb name in the directory, even if its store was replaced. */
  readonly installation: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Whether to start the keeper at once, instead of with the first app. */
  readonly prepare?: boolean;
  /** Limit of each instance's output files; 1 MiB by default. */
  readonly outputMaxBytes?: number;
  /** Limit of each instance's output in the log; 50 by default. */
  readonly logLinesPerSecond?: number;
}

/** The instances that have a record, readable or not. */
export type Known = Pick<ProcessRecords, 'has' | 'ids' | 'read'>;

/** What a boot has to know of an instance before its record is written. */
export interface Plan {
  /** The part of the record that only the technology knows. */
  readonly record: Pick<ProcessRecord, 'uid' | 'groups' | 'pidNamespace'>;
  /**
   * Makes what the instance needs, and starts its main process with `launch`. Resolves once the app runs; rejects with an Error that
   * says what is wrong and what to do. What it made is removed afterwards.
   */
  start(record: ProcessRecord, starting: Starting): Promise<void>;
  /** Makes ready for a second `launch`, as the keeper was lost during the first; what was started is dead. */
  readonly startAgain?: () => void | Promise<void>;
}

export interface Starting {
  /** Starts a command as the instance's main process; resolves once it runs. */
  readonly launch: (command: Command) => Promise<ProcessIdentity>;
  /** Resolves with the cause if the main process ends before `start` has resolved. */
  readonly ended: Promise<string>;
  readonly signal: AbortSignal;
}

/** What a technology adds to instances whose main process a keeper starts. */
export interface Technology {
  readonly name: Runtime['name'];
  /** Removes what instances without a record left. `id` is unique to the state directory. */
  open(known: Known, id: string): Promise<void>;
  /** Call it as early as possible before a boot: slow preparations run in the background. */
  makeReady(): void;
  /** Whether each instance has a control group of its own, by which it can be frozen. */
  readonly suspends?: true;
  /** An address that no other instance has; leased until `free`. */
  lease(spec: InstanceSpec): Promise<Address>;
  free(place: Address, id: string): Promise<void>;
  /** Makes nothing of the instance. Throws an Error that says what to do if the app cannot run, or the signal's reason. */
  plan(spec: InstanceSpec, signal: AbortSignal): Promise<Plan>;
  /** Asks an app to end whose processes are not in the group of the main process. Resolves to how long it may take. */
  askToEnd?(record: ProcessRecord, graceMs: number): Promise<number>;
  /** Removes what an instance had, but its address, after its processes have ended. */
  remove(record: ProcessRecord): Promise<void>;
  /** See `Runtime.inspect`; the instance runs. */
  isListening(record: ProcessRecord): Promise<boolean | undefined>;
  /** See `Runtime.listensOn`. */
  listensOn(record: ProcessRecord): Promise<readonly string[] | undefined>;
  /** See `Runtime.listener`. */
  readonly listener?: {
    /** The name that was found last, if it is still right; must be fast. */
    stillOpen(id: string): string | undefined;
    nameOf(record: ProcessRecord): Promise<string | undefined>;
  };
  close(): Promise<void>;
}

interface Boot {
  /** Aborted by a stop during the boot. */
  readonly stop: AbortController;
  /** Resolves when the boot has ended, in whatever way. */
  readonly done: Promise<unknown>;
}

/** Starts of main processes that have not resolved yet. */
interface Start {
  readonly startAgain: () => void | Promise<void>;
  readonly onExit: (exited: Exited) => void;
}

/** The cause of an exit that nothing but the end of its keeper tells of. */
const keeperEnded = 'its keeper ended';

/** Runs instances whose main process is a child of a keeper on this host, whatever confines it. Adopts those that run already. */
export class KeptRuntime implements Runtime {
  readonly name: Runtime['name'];
  identity: RuntimeIdentity | undefined;
  readonly listener?: (id: string) => Promise<string | undefined>;
  readonly suspender?: Suspender;
  readonly #options: KeptRuntimeOptions;
  readonly #technology: Technology;
  readonly #records: ProcessRecords;
  readonly #output: Output;
  readonly #exits: Exits;
  readonly #dispatchers: Dispatchers;
  readonly #keepers: Keepers;
  readonly #booting = new Map<string, Boot>();
  readonly #stopping = new Map<string, Promise<void>>();
  readonly #starts = new Map<string, Start>();
  /** One group after the other: each may keep one of the few threads that all files are read with for long. */
  #reclaiming = Promise.resolve();
  #isClosed = false;
  /** Unreadable records and instances of other installations that were logged already. */
  readonly #said = new Set<string>();

  constructor(options: KeptRuntimeOptions, technology: Technology) {
    const { stateDir, logger, clock, outputMaxBytes: maxBytes = 1024 * 1024 } = options;
    const { logLinesPerSecond: linesPerSecond = 50, cmdbName } = options;
    this.name = technology.name;
    this.#options = options;
    this.#technology = technology;
    const { listener } = technology;
    if (listener) this.listener = (id) => this.#listenerOf(id, listener);
    if (technology.suspends) {
      this.suspender = { suspend: (id) => this.#suspend(id), resume: (id) => this.#resume(id) };
    }
    this.#records = new ProcessRecords(join(stateDir, 'instances'), (path) => this.#sayUnreadable(path));
    const output = { directory: join(stateDir, 'output'), maxBytes };
    this.#output = new Output({ ...output, logger, clock, linesPerSecond });
    const group = `${cmdbName}\0${options.installation}`;
    this.#keepers = new Keepers({
      ...{ directory: join(stateDir, 'keepers'), group, output, clock, logger },
      events: {
        onExit: (exited) => void this.#onExit(exited),
        onOutput: ({ id, app, data, lost }) => this.#output.log(id, app, Buffer.from(data, 'base64'), lost),
        onLost: (name, running) => void this.#onKeeperLost(name, running),
      },
      endStarted: (id) => this.#endStarted(id),
    });
    this.#exits = new Exits({ clock, onDeath: (record, late) => void this.#killLeftovers(record, !late) });
    this.#dispatchers = new Dispatchers({
      directory: join(stateDir, 'dispatchers'),
      group,
      ...{ clock, logger },
      onDuty: () => void this.#adoptAll(),
    });
  }

  async open(): Promise<void> {
    if (identify(process.pid).startTime === '') {
      throw new Error(`the ${this.name} runtime needs /proc, which this machine does not have; use docker instead`);
    }
    const { stateDir } = this.#options;
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const identity = { id: await directoryId(stateDir), place: stateDir };
    this.identity = identity;
    await this.#records.open();
    await this.#technology.open(this.#records, identity.id);
    await this.#output.open(async (id) => (await this.#records.read(id)) !== undefined);
    await this.#keepers.open();
    await this.#dispatchers.open();
    if (this.#options.prepare) this.#keepers.prepare();
    if (this.#dispatchers.isEldest) await this.#adoptAll();
  }

  boot(spec: InstanceSpec, { signal, onPhase }: BootOptions): Promise<Address> {
    const { id } = spec;
    if (this.#booting.has(id)) return Promise.reject(new Error(`instance ${id} is booting already`));
    const stop = new AbortController();
    const booting = this.#boot(spec, { signal: AbortSignal.any([signal, stop.signal]), onPhase }).finally(() =>
      this.#booting.delete(id),
    );
    this.#booting.set(id, { stop, done: booting.catch(() => {}) });
    return booting;
  }

  stop(id: string, graceMs: number): Promise<void> {
    return shared(this.#stopping, id, () => this.#stop(id, graceMs));
  }

  async inspect(id: string): Promise<Inspection> {
    const found = await this.#find(id);
    if (!found) return { state: 'gone' };
    const record = await this.#resolve(found);
    const startedAt = record.process && startedAtOf(record.process);
    if (!isAlive(record)) return { state: 'exited', startedAt, ...(await this.#exitOf(record)) };
    return { state: 'running', startedAt, listening: await this.#technology.isListening(record) };
  }

  async listensOn(id: string): Promise<readonly string[] | undefined> {
    const found = await this.#find(id);
    return found && this.#technology.listensOn(await this.#resolve(found));
  }

  async list(): Promise<FoundInstance[]> {
    const records = await Promise.all((await this.#mine()).map((record) => this.#resolve(record)));
    return records.map((record) => {
      const { id, app, revision, host, port } = record;
      const running = isAlive(record);
      const paused = running && this.#technology.suspends === true && isFrozen(record.groups ?? []);
      return { id, app, revision, running, ...(paused ? { paused } : {}), address: { host, port } };
    });
  }

  watch(onExit: (exit: Exit) => void): () => void {
    return this.#exits.watch(onExit);
  }

  output(id: string, maxBytes: number): Promise<string> {
    return this.#output.tail(id, maxBytes);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#dispatchers.close();
    this.#exits.close();
    this.#output.close();
    await Promise.allSettled(this.#stopping.values());
    await this.#keepers.close();
    await this.#technology.close();
  }

  async #suspend(id: string): Promise<void> {
    const { groups } = await this.#running(id);
    await freeze(groups, this.#options.clock);
    this.#reclaiming = this.#reclaiming.then(() => (this.#isClosed ? undefined : reclaim(groups)));
  }

  async #resume(id: string): Promise<void> {
    const { groups } = await this.#running(id);
    if (!thaw(groups)) throw new Error(`instance ${id} has no control group by which it could be thawed`);
  }

  async #running(id: string): Promise<{ readonly groups: readonly string[] }> {
    const record = await this.#find(id);
    if (!record || !isAlive(record)) throw new Error(`instance ${id} does not run`);
    return { groups: record.groups ?? [] };
  }

  async #listenerOf(id: string, listener: NonNullable<Technology['listener']>): Promise<string | undefined> {
    const open = listener.stillOpen(id);
    if (open !== undefined) return open;
    const found = await this.#find(id);
    return found && listener.nameOf(await this.#resolve(found));
  }

  /** Adopts the instances of dead dispatchers: follows all keepers, including those of live ones in case these die. */
  async #adoptAll(): Promise<void> {
    try {
      await this.#keepers.inherit();
      for (const record of await this.#mine()) {
        if (isRunning(record.booter)) continue;
        const { keeper } = record;
        if (await this.#keepers.with(keeper, (found) => found === 'gone')) await this.#endUnkept(record);
      }
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'could not look for the instances of other dispatchers');
    }
  }

  async #mine(): Promise<ProcessRecord[]> {
    const named = (await this.#records.all()).filter(({ cmdb }) => cmdb === this.#options.cmdbName);
    for (const record of named) if (!this.#isOwn(record)) this.#sayForeign(record);
    return named.filter((record) => this.#isOwn(record));
  }

  /** The record of an instance; undefined if there is none. Throws if it is another installation's, which must not be touched. */
  async #find(id: string): Promise<ProcessRecord | undefined> {
    const record = await this.#records.read(id);
    if (record === undefined || this.#isOwn(record)) return record;
    throw new Error(`instance ${id} of app ${record.app} is another installation's: it is not touched`);
  }

  #isOwn({ cmdb, installation = this.#options.installation }: ProcessRecord): boolean {
    return cmdb === this.#options.cmdbName && installation === this.#options.installation;
  }

  async #boot(spec: InstanceSpec, { signal, onPhase }: BootOptions): Promise<Address> {
    const { clock, cmdbName, installation } = this.#options;
    const { id, app, revision } = spec;
    const from = clock.monotonic();
    signal.throwIfAborted();
    if (!isSafeId(id))
      throw new Error(`'${id}' is not an instance id, which has only lower-case letters, digits and '-'`);
    this.#technology.makeReady();
    const [exists, address] = await Promise.all([this.#records.has(id), this.#technology.lease(spec)]);
    if (exists) {
      await this.#technology.free(address, id);
      throw new Error(`instance ${id} exists already; ids are never used again`);
    }
    const booter = identify(process.pid);
    const whose = { cmdb: cmdbName, installation };
    const secret = newSecret();
    let record: ProcessRecord = { v: 1, id, app: app.name, revision, ...whose, ...address, booter, secret };
    try {
      const plan = await this.#technology.plan(spec, signal);
      record = { ...record, ...plan.record, keeper: this.#keepers.prepare() };
      await this.#records.write(record);
      const createdAt = clock.monotonic();
      onPhase('create', createdAt - from);
      signal.throwIfAborted();
      const exited = await this.#start(record, plan, signal, (started) => (record = { ...record, ...started }));
      if (!(await this.#records.has(id))) throw new Error(`instance ${id} was stopped while it booted`);
      await this.#records.write(record);
      onPhase('start', clock.monotonic() - createdAt);
      signal.throwIfAborted();
      if (exited()) void this.#onExit(exited() as Exited);
      return address;
    } catch (error) {
      // If this fails as well, the record stays listed and can be stopped later. The first error matters.
      await this.#remove(record, 0).catch((problem: unknown) => {
        this.#options.logger.debug({ err: problem, instance: id }, 'what a failed boot left is still listed');
      });
      throw error;
    }
  }

  /** Starts an instance. Its exit is kept back until then, and returned: a boot that fails reports nothing else. */
  async #start(
    record: ProcessRecord,
    plan: Plan,
    signal: AbortSignal,
    onStarted: (started: Pick<ProcessRecord, 'process' | 'keeper'>) => void,
  ): Promise<() => Exited | undefined> {
    const { id, app } = record;
    let exited: Exited | undefined;
    const ended = new Promise<string>((resolve) => {
      const onExit = (exit: Exited) => {
        exited = exit;
        resolve(exit.cause);
      };
      this.#starts.set(id, { startAgain: plan.startAgain ?? (() => {}), onExit });
    });
    const launch = async (command: Command) => {
      const started = await this.#keepers.start(id, app, command);
      onStarted(started);
      return started.process;
    };
    try {
      await plan.start(record, { launch, ended, signal });
      return () => exited;
    } finally {
      this.#starts.delete(id);
    }
  }

  async #stop(id: string, graceMs: number): Promise<void> {
    const boot = this.#booting.get(id);
    boot?.stop.abort(new Error(`instance ${id} was stopped while it booted`));
    await boot?.done;
    const found = await this.#find(id);
    if (!found) return;
    const record = await this.#resolve(found);
    if (this.#isElsewhere(record)) await this.#records.write({ ...record, stopper: identify(process.pid) });
    await this.#remove(record, graceMs);
  }

  /** Removes the record last, so that a failed removal can be repeated. */
  async #remove(record: ProcessRecord, graceMs: number): Promise<void> {
    const { id } = record;
    const grace = graceMs > 0 ? await this.#technology.askToEnd?.(record, graceMs) : graceMs;
    await end(record, { graceMs: grace ?? graceMs, clock: this.#options.clock });
    await this.#technology.remove(record);
    await this.#keepers.with(record.keeper, (found) => (typeof found === 'string' ? undefined : found.release(id)));
    await this.#output.remove(id);
    await this.#technology.free(record, id);
    await this.#records.remove(id);
    this.#exits.forget(id);
  }

  /** Kills what a dead main process left, which must not hold the port. A stop does that itself. */
  async #killLeftovers(record: ProcessRecord, trustGroup: boolean): Promise<void> {
    if (this.#stopping.has(record.id)) return;
    const known = await this.#records.read(record.id);
    if (!known || (known.stopper && isRunning(known.stopper))) return;
    try {
      await end(record, { graceMs: 0, clock: this.#options.clock, trustGroup });
    } catch (error) {
      this.#options.logger.warn(
        { err: error, app: record.app, instance: record.id },
        'could not kill what an app left',
      );
    }
  }

  /** Completes the record of a dispatcher that died between the start and the record, with what its keeper knows. */
  async #resolve(record: ProcessRecord): Promise<ProcessRecord> {
    if (record.process || isRunning(record.booter)) return record;
    const { id, keeper } = record;
    const main = await this.#keepers.with(keeper, (found) =>
      typeof found === 'string' ? undefined : found.kept.get(id)?.process,
    );
    if (!main) return record;
    const whole = { ...record, process: main };
    await this.#records.write(whole);
    return whole;
  }

  async #onExit(exited: Exited): Promise<void> {
    const { id, process: main, late } = exited;
    const start = this.#starts.get(id);
    if (start) return start.onExit(exited);
    this.#output.end(id);
    const record = await this.#records.read(id);
    if (record) this.#exits.died({ ...record, process: main }, exited, late);
  }

  /** Why and when it ended, as reported or as its keeper knows. */
  async #exitOf({ id, keeper, booter }: ProcessRecord): Promise<Pick<Exit, 'cause' | 'endedAt'>> {
    const known = this.#exits.known(id);
    if (known !== undefined) return pick(known);
    const kept = await this.#keepers.with(keeper, (found) =>
      typeof found === 'string' ? undefined : found.kept.get(id),
    );
    if (kept?.cause !== undefined) return pick({ cause: kept.cause, endedAt: kept.endedAt });
    const exit = kept && (await this.#exits.exitOf(id));
    if (exit) return pick(exit);
    // At the latest with the machine, if that was started again since.
    const endedAt = booter.bootId === bootId() ? {} : { endedAt: bootedAt() };
    return { cause: 'it ended while no dispatcher watched', ...endedAt };
  }

  /** Ends the apps of a keeper that has ended, as nothing reads their output or sees their exits, and reports that. */
  async #onKeeperLost(name: string, running: readonly Kept[]): Promise<void> {
    try {
      const ids = new Map(running.map(({ id, process: main }) => [id, main]));
      for (const record of await this.#mine()) {
        const main = record.process ?? ids.get(record.id);
        const isOurs = ids.has(record.id) || (record.keeper === name && !isRunning(record.booter));
        if (isOurs && main) await this.#endUnkept({ ...record, process: main });
      }
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'could not end the apps of a keeper that has ended');
    }
  }

  /** Ends an instance whose keeper has ended. If it had ended before, its exit is reported only if the keeper left a note. */
  async #endUnkept(found: ProcessRecord): Promise<void> {
    const { id } = found;
    const main = found.process ?? (await findMain(found));
    const record = { ...found, ...(main && { process: main }) };
    const cause = await this.#output.takeExit(id);
    const runs = main !== undefined && isRunning(main);
    if (runs) await this.#killLeftovers(record, true);
    const start = this.#starts.get(id);
    if (start && main)
      return start.onExit({ id, app: record.app, process: main, cause: cause ?? keeperEnded, late: true });
    if (runs || cause !== undefined) this.#exits.died(record, { cause: cause ?? keeperEnded }, true);
  }

  async #endStarted(id: string): Promise<void> {
    const record = await this.#records.read(id);
    const main = record && (await findMain(record));
    if (!record) return;
    await end({ ...record, ...(main && { process: main }) }, { graceMs: 0, clock: this.#options.clock });
    // A control group that was killed may not let anything start again.
    removeGroup(record.groups ?? []);
    await this.#starts.get(id)?.startAgain();
  }

  /** Whether a running dispatcher other than this one started it, which learns of the exit. */
  #isElsewhere({ booter }: ProcessRecord): boolean {
    return booter.pid !== process.pid && isRunning(booter);
  }

  #sayForeign({ id, app }: ProcessRecord): void {
    if (this.#said.has(id)) return;
    this.#said.add(id);
    this.#options.logger.warn(
      { instance: id, app, stateDir: this.#options.stateDir },
      'an instance of another installation with the same cmdb.name has its record in this directory; it is left alone: give one of ' +
        `them another cmdb.name or another runtimes.${this.name}.stateDir, or end the instance if its installation no longer exists`,
    );
  }

  #sayUnreadable(path: string): void {
    if (this.#said.has(path)) return;
    this.#said.add(path);
    const advice = 'if none of its processes runs, remove the file';
    this.#options.logger.error({ path }, `the record of an instance cannot be read and is skipped; ${advice}`);
  }
}

/** An instance that is about to be started counts as alive while its dispatcher runs. */
function isAlive({ process, booter }: ProcessRecord): boolean {
  return isRunning(process ?? booter);
}

function pick({ cause, endedAt }: Pick<Exit, 'cause' | 'endedAt'>): Pick<Exit, 'cause' | 'endedAt'> {
  return { cause, ...(endedAt === undefined ? {} : { endedAt }) };
}

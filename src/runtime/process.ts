import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import type { Address, RuntimeIdentity } from '../model/instance.js';
import { shared } from '../model/shared-work.js';
import { identify, isRunning, type ProcessIdentity } from '../machine/proc-fs.js';
import type { Command } from './kept/child.js';
import { removeGroup } from './kept/control-groups.js';
import type { Confinement } from './process/confine.js';
import { Confinements } from './process/confinements.js';
import { directoryId } from './kept/directory-id.js';
import { Dispatchers } from './kept/dispatchers.js';
import { end } from './kept/end.js';
import { Exits } from './kept/exits.js';
import { Keepers } from './kept/keeper/keepers.js';
import type { Exited, Kept } from './kept/keeper/messages.js';
import { Listening } from './process/listening.js';
import { findMain } from './kept/members.js';
import { Output } from './kept/output.js';
import { Ports } from './kept/ports.js';
import { isSafeId, newSecret, type ProcessRecord, ProcessRecords } from './kept/records.js';
import { Scratch } from './process/scratch.js';
import { start } from './process/start.js';
import type { BootOptions, Exit, FoundInstance, InstanceSpec, Inspection, Runtime } from './runtime.js';

export { lookAtProcessHost, processFindings } from './process/findings.js';

export interface ProcessRuntimeOptions {
  /** Directory of records, output and port leases; several dispatchers of one machine may share it. */
  readonly stateDir: string;
  readonly cmdbName: string;
  /** Distinguishes this installation from others of the same cmdb name in the directory, even if its store was replaced. */
  readonly installation: string;
  readonly ports: { readonly from: number; readonly to: number };
  /** User ids for apps with `user: auto`. */
  readonly users: { readonly from: number; readonly to: number };
  /** Whether apps may have the groups of a dispatcher that is not root, even groups that are as good as root. */
  readonly inheritGroups?: boolean;
  /** Directory for the instances' temporary files; by default `scratch` in `stateDir`, which only the daemon's user can enter. */
  readonly scratchDir?: string;
  /** Whether apps that could leave their control group get a pid namespace, if the machine allows it; true by default. */
  readonly pidNamespace?: boolean;
  /** Address on which apps are told to listen; loopback by default. */
  readonly bindHost?: string;
  /** Address at which other machines reach them; `bindHost` by default. */
  readonly advertiseHost?: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Whether to start the keeper at once, instead of with the first app. */
  readonly prepare?: boolean;
  /** Limit of each instance's output files; 1 MiB by default. */
  readonly outputMaxBytes?: number;
  /** Limit of each instance's output in the log; 50 by default. */
  readonly logLinesPerSecond?: number;
}

/**
 * Opens the runtime that runs apps as plain processes of this machine, and adopts those that run already. Throws an Error if the
 * directory cannot be used, or if the machine has no /proc, without which processes cannot be told apart.
 */
export async function openProcessRuntime(options: ProcessRuntimeOptions): Promise<Runtime> {
  const runtime = new ProcessRuntime(options);
  await runtime.open();
  return runtime;
}

interface Boot {
  /** Aborted by a stop during the boot. */
  readonly stop: AbortController;
  /** Resolves when the boot has ended, in whatever way. */
  readonly done: Promise<unknown>;
}

class ProcessRuntime implements Runtime {
  readonly name = 'process';
  identity: RuntimeIdentity | undefined;
  readonly #options: ProcessRuntimeOptions;
  readonly #records: ProcessRecords;
  readonly #ports: Ports;
  readonly #confinements: Confinements;
  readonly #output: Output;
  readonly #scratch: Scratch;
  readonly #exits: Exits;
  readonly #dispatchers: Dispatchers;
  readonly #listening: Listening;
  readonly #keepers: Keepers;
  readonly #bindHost: string;
  readonly #booting = new Map<string, Boot>();
  readonly #stopping = new Map<string, Promise<void>>();
  /** Functions that make the control groups of instances that are being started. */
  readonly #createGroups = new Map<string, () => void>();
  /** Unreadable records and instances of other installations that were logged already. */
  readonly #said = new Set<string>();

  constructor(options: ProcessRuntimeOptions) {
    const { stateDir, logger, clock, outputMaxBytes: maxBytes = 1024 * 1024, logLinesPerSecond = 50 } = options;
    this.#options = options;
    this.#bindHost = options.bindHost ?? '127.0.0.1';
    this.#records = new ProcessRecords(join(stateDir, 'instances'), (path) => this.#sayUnreadable(path));
    const isKnown = async (id: string) => (await this.#records.read(id)) !== undefined;
    const directory = join(stateDir, 'ports');
    this.#ports = new Ports({ directory, ...options.ports, bindHost: this.#bindHost, clock, isKnown });
    const { cmdbName, users, inheritGroups = false, pidNamespace = true } = options;
    this.#confinements = new Confinements({ stateDir, cmdbName, users, inheritGroups, pidNamespace, logger });
    const linesPerSecond = logLinesPerSecond;
    const output = { directory: join(stateDir, 'output'), maxBytes };
    this.#output = new Output({ ...output, logger, clock, linesPerSecond });
    this.#scratch = new Scratch({ directory: options.scratchDir ?? join(stateDir, 'scratch'), logger, clock });
    this.#listening = new Listening({ clock, logger });
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
      clock,
      onDuty: () => void this.#adoptAll(),
    });
  }

  async open(): Promise<void> {
    if (identify(process.pid).startTime === '') {
      throw new Error('the process runtime needs /proc, which this machine does not have; use docker instead');
    }
    const { stateDir } = this.#options;
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const identity = { id: await directoryId(stateDir), place: stateDir };
    this.identity = identity;
    await this.#records.open();
    await this.#ports.open();
    await this.#confinements.open((id) => this.#records.has(id));
    await this.#output.open(async (id) => (await this.#records.read(id)) !== undefined);
    await this.#scratch.open(identity.id, () => this.#records.ids());
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
    if (!isAlive(record)) return { state: 'exited', cause: await this.#causeOf(record) };
    return { state: 'running', listening: await this.#listening.isOwn(record) };
  }

  async listener(id: string): Promise<string | undefined> {
    const open = this.#listening.stillOpen(id);
    if (open !== undefined) return open;
    const found = await this.#find(id);
    return found && this.#listening.nameOf(await this.#resolve(found));
  }

  async listensOn(id: string): Promise<readonly string[] | undefined> {
    const found = await this.#find(id);
    return found && this.#listening.addressesOf(await this.#resolve(found));
  }

  async list(): Promise<FoundInstance[]> {
    const records = await Promise.all((await this.#mine()).map((record) => this.#resolve(record)));
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
    await this.#keepers.close();
    await this.#scratch.close();
    this.#confinements.close();
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
    const { clock, cmdbName, installation, advertiseHost } = this.#options;
    const { id, app, revision } = spec;
    const from = clock.monotonic();
    signal.throwIfAborted();
    if (!isSafeId(id))
      throw new Error(`'${id}' is not an instance id, which has only lower-case letters, digits and '-'`);
    this.#confinements.makeReady();
    const [exists, port] = await Promise.all([this.#records.has(id), this.#ports.lease(id)]);
    if (exists) {
      await this.#ports.free(port, id);
      throw new Error(`instance ${id} exists already; ids are never used again`);
    }
    const host = advertiseHost ?? this.#bindHost;
    const booter = identify(process.pid);
    const secret = newSecret();
    const whose = { cmdb: cmdbName, installation };
    let record: ProcessRecord = { v: 1, id, app: app.name, revision, ...whose, host, port, booter, secret };
    try {
      const confinement = await this.#confinements.of(id, app);
      const { account, groups } = confinement;
      const keeper = this.#keepers.prepare();
      const kept = {
        ...(groups.length > 0 && { groups }),
        ...(confinement.pidNamespace && { pidNamespace: true as const }),
      };
      record = { ...record, uid: account.uid, keeper, ...kept };
      await this.#records.write(record);
      const createdAt = clock.monotonic();
      onPhase('create', createdAt - from);
      signal.throwIfAborted();
      record = { ...record, ...(await this.#start(spec, record, confinement)) };
      if (!(await this.#records.has(id))) throw new Error(`instance ${id} was stopped while it booted`);
      await this.#records.write(record);
      onPhase('start', clock.monotonic() - createdAt);
      signal.throwIfAborted();
      return { host, port };
    } catch (error) {
      // If this fails as well, the record stays listed and can be stopped later. The first error matters.
      await this.#remove(record, 0).catch(() => {});
      throw error;
    }
  }

  async #start(
    spec: InstanceSpec,
    { port, secret = '' }: ProcessRecord,
    confinement: Confinement,
  ): Promise<{ process: ProcessIdentity; keeper: string }> {
    const createGroup = () => this.#confinements.create(spec.id, spec.app, confinement);
    createGroup();
    const scratch = await this.#scratch.make(spec.id, confinement.account);
    let keeper = '';
    const launch = async (command: Command) => {
      const started = await this.#keepers.start(spec.id, spec.app.name, command);
      ({ keeper } = started);
      return started.process;
    };
    const { cmdbName } = this.#options;
    this.#createGroups.set(spec.id, createGroup);
    try {
      const main = await start({ spec, secret, confinement, cmdbName, host: this.#bindHost, port, scratch, launch });
      return { process: main, keeper };
    } finally {
      this.#createGroups.delete(spec.id);
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
    const { id, port, uid } = record;
    await end(record, { graceMs, clock: this.#options.clock });
    this.#confinements.remove(record.groups ?? []);
    await this.#scratch.remove(id, uid);
    await this.#keepers.with(record.keeper, (found) => (typeof found === 'string' ? undefined : found.release(id)));
    await this.#output.remove(id);
    await this.#ports.free(port, id);
    await this.#records.remove(id);
    this.#exits.forget(id);
    this.#listening.forget(id);
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

  async #onExit({ id, process: main, cause, late }: Exited): Promise<void> {
    this.#output.end(id);
    const record = await this.#records.read(id);
    if (record) this.#exits.died({ ...record, process: main }, cause, late);
  }

  /** Why it ended, as reported or as its keeper knows. */
  async #causeOf({ id, keeper }: ProcessRecord): Promise<string> {
    const known = this.#exits.knownCause(id);
    if (known !== undefined) return known;
    const kept = await this.#keepers.with(keeper, (found) =>
      typeof found === 'string' ? undefined : found.kept.get(id),
    );
    const cause = kept && (kept.cause ?? (await this.#exits.causeOf(id)));
    return cause ?? 'it ended while no dispatcher watched';
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
    if (runs || cause !== undefined) this.#exits.died(record, cause ?? 'its keeper ended', true);
  }

  async #endStarted(id: string): Promise<void> {
    const record = await this.#records.read(id);
    const main = record && (await findMain(record));
    if (!record) return;
    await end({ ...record, ...(main && { process: main }) }, { graceMs: 0, clock: this.#options.clock });
    // A control group that was killed may not let anything start again.
    removeGroup(record.groups ?? []);
    this.#createGroups.get(id)?.();
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
        'them another cmdb.name or another runtimes.process.stateDir, or end the instance if its installation no longer exists',
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

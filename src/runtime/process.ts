import { join } from 'node:path';
import type { Address } from '../model/instance.js';
import { type Known, KeptRuntime, type KeptRuntimeOptions, type Plan, type Technology } from './kept/kept-runtime.js';
import type { Leases } from './kept/leases.js';
import type { ProcessRecord } from './kept/records.js';
import { Confinements } from './process/confinements.js';
import { Listening } from './process/listening.js';
import { portLeases } from './process/ports.js';
import { Scratch } from './process/scratch.js';
import { start } from './process/start.js';
import type { InstanceSpec, Runtime } from './runtime.js';

export { lookAtProcessHost, processFindings } from './process/findings.js';

export interface ProcessRuntimeOptions extends KeptRuntimeOptions {
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
}

/**
 * Opens the runtime that runs apps as plain processes of this machine, and adopts those that run already. Throws an Error if the
 * directory cannot be used, or if the machine has no /proc, without which processes cannot be told apart.
 */
export async function openProcessRuntime(options: ProcessRuntimeOptions): Promise<Runtime> {
  const runtime = new KeptRuntime(options, new Processes(options));
  await runtime.open();
  return runtime;
}

/** Plain processes, each with a user, a control group and a port of this host. */
class Processes implements Technology {
  readonly name = 'process';
  readonly listener: Listening;
  readonly #options: ProcessRuntimeOptions;
  readonly #bindHost: string;
  readonly #ports: Leases;
  readonly #confinements: Confinements;
  readonly #scratch: Scratch;
  readonly #listening: Listening;
  #known: Known | undefined;

  constructor(options: ProcessRuntimeOptions) {
    const { stateDir, cmdbName, users, inheritGroups = false, pidNamespace = true, logger, clock } = options;
    this.#options = options;
    this.#bindHost = options.bindHost ?? '127.0.0.1';
    this.#ports = portLeases({
      ...{ directory: join(stateDir, 'ports'), ...options.ports, bindHost: this.#bindHost, clock },
      isKnown: async (id) => (await this.#known?.read(id)) !== undefined,
    });
    this.#confinements = new Confinements({ stateDir, cmdbName, users, inheritGroups, pidNamespace, logger });
    this.#scratch = new Scratch({ directory: options.scratchDir ?? join(stateDir, 'scratch'), logger, clock });
    this.#listening = new Listening({ clock, logger });
    this.listener = this.#listening;
  }

  async open(known: Known, id: string): Promise<void> {
    this.#known = known;
    await this.#ports.open();
    await this.#confinements.open((instance) => known.has(instance));
    await this.#scratch.open(id, () => known.ids());
  }

  makeReady(): void {
    this.#confinements.makeReady();
  }

  async lease({ id }: InstanceSpec): Promise<Address> {
    return { host: this.#options.advertiseHost ?? this.#bindHost, port: await this.#ports.lease(id) };
  }

  free({ port }: Address, id: string): Promise<void> {
    return this.#ports.free(port, id);
  }

  async plan(spec: InstanceSpec): Promise<Plan> {
    const { id, app } = spec;
    const confinement = await this.#confinements.of(id, app);
    const { account, groups } = confinement;
    const createGroup = () => this.#confinements.create(id, app, confinement);
    return {
      record: {
        uid: account.uid,
        ...(groups.length > 0 && { groups }),
        ...(confinement.pidNamespace && { pidNamespace: true as const }),
      },
      startAgain: createGroup,
      start: async ({ port, secret = '' }, { launch }) => {
        await createGroup();
        const scratch = await this.#scratch.make(id, account);
        const { cmdbName } = this.#options;
        await start({ spec, secret, confinement, cmdbName, host: this.#bindHost, port, scratch, launch });
      },
    };
  }

  async remove({ id, uid, groups = [] }: ProcessRecord): Promise<void> {
    this.#confinements.remove(groups);
    await this.#scratch.remove(id, uid);
    this.#listening.forget(id);
  }

  isListening(record: ProcessRecord): Promise<boolean | undefined> {
    return this.#listening.isOwn(record);
  }

  listensOn(record: ProcessRecord): Promise<readonly string[] | undefined> {
    return this.#listening.addressesOf(record);
  }

  async close(): Promise<void> {
    await this.#scratch.close();
    this.#confinements.close();
  }
}

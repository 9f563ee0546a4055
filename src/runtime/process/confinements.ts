import { join } from 'node:path';
import type { Logger } from 'pino';
import type { App } from '../../model/app.js';
import { Accounts } from '../kept/accounts.js';
import { canConfine, type Confinement, findSetpriv } from './confine.js';
import { ControlGroups } from '../kept/control-groups.js';
import { findPidNamespace, needsPidNamespace } from './pid-namespace.js';
import { capabilitiesFault } from '../kept/run-as.js';

export interface ConfinementsOptions {
  readonly stateDir: string;
  readonly cmdbName: string;
  readonly users: { readonly from: number; readonly to: number };
  readonly inheritGroups: boolean;
  /** Whether apps that could leave their control group get a pid namespace, if the machine allows it. */
  readonly pidNamespace: boolean;
  readonly logger: Logger;
}

/** The users, control groups and pid namespaces of apps on this host. */
export class Confinements {
  readonly #options: ConfinementsOptions;
  readonly #accounts: Accounts;
  #groups: ControlGroups | undefined;
  #setpriv: string | undefined;
  #pidNamespace: readonly string[] | undefined;

  constructor(options: ConfinementsOptions) {
    this.#options = options;
    const { stateDir, cmdbName, users: range, inheritGroups } = options;
    this.#accounts = new Accounts({ directory: join(stateDir, 'users'), cmdbName, range, inheritGroups });
  }

  /** Ends and removes what instances without a record (`isKnown`) left. */
  async open(isKnown: (id: string) => Promise<boolean>): Promise<void> {
    const { stateDir, logger } = this.#options;
    await this.#accounts.open();
    this.#setpriv = await findSetpriv();
    this.#groups = await ControlGroups.open(stateDir, true);
    await this.#groups.removeLeftovers(isKnown);
    const { areAvailable, missing } = this.#groups;
    if (this.#options.pidNamespace && needsPidNamespace(this.#accounts.daemon, areAvailable)) {
      this.#pidNamespace = await findPidNamespace();
    }
    if (!areAvailable || missing.length > 0) {
      logger.debug(
        { areAvailable, missing },
        'apps of the process runtime run without control groups, or not with all limits',
      );
    }
  }

  /** The confinement of an instance; creates nothing. Throws an Error that says what to do if the app may not run as its user. */
  async of(id: string, app: App): Promise<Confinement> {
    const { daemon } = this.#accounts;
    const account = await this.#accounts.of(app);
    const basis = { account, daemon, setpriv: this.#setpriv };
    const fault = capabilitiesFault(daemon, this.#setpriv);
    if (fault !== undefined) throw new Error(`cannot run app ${app.name}: ${fault}`);
    const groups = canConfine(basis) ? (this.#groups?.pathsOf(id) ?? []) : [];
    const pidNamespace = canConfine(basis) ? this.#pidNamespace : undefined;
    return { ...basis, groups, files: app.limits.files, pidNamespace };
  }

  /** Call it as early as possible before a start: slow preparations run in the background. */
  makeReady(): void {
    void this.#groups?.makeReady();
  }

  /** Makes the control group of an instance, which must be in its record already. Rejects with an Error that names what the kernel refuses. */
  async create(id: string, { limits }: App, { groups }: Confinement): Promise<void> {
    if (groups.length > 0) await this.#groups?.create(id, limits);
  }

  /** Removes the control group of an instance that has ended. */
  remove(groups: readonly string[]): void {
    this.#groups?.remove(groups);
  }

  close(): void {
    this.#groups?.close();
  }
}

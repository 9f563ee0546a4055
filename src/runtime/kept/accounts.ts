import type { App } from '../../model/app.js';
import { type Account, readDatabases } from './account.js';
import { AutoUsers, type AutoUsersOptions } from './auto-users.js';
import { type Credentials, readCredentials } from './credentials.js';
import { groupsFault, runAs } from './run-as.js';

export interface AccountsOptions extends AutoUsersOptions {
  readonly inheritGroups: boolean;
}

/** The users that apps run as on this host. */
export class Accounts {
  readonly daemon: Credentials = readCredentials();
  readonly #users: AutoUsers;
  readonly #inheritGroups: boolean;

  constructor({ inheritGroups, ...users }: AccountsOptions) {
    this.#inheritGroups = inheritGroups;
    this.#users = new AutoUsers(users);
  }

  async open(): Promise<void> {
    await this.#users.open();
  }

  /** The account of an app. Throws an Error that says what to do if the app may not run as the user that it names. */
  async of({ name, user }: App): Promise<Account> {
    const databases = readDatabases();
    try {
      const who = runAs(user, this.daemon, databases);
      const fault = groupsFault(this.daemon, databases, this.#inheritGroups);
      if (fault !== undefined) throw new Error(fault);
      if ('account' in who) return who.account;
    } catch (error) {
      throw new Error(`cannot run app ${name}: ${(error as Error).message}`, { cause: error });
    }
    const id = await this.#users.of(name);
    return { uid: id, gid: id, groups: [], home: '/' };
  }
}

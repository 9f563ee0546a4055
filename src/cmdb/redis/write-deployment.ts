import { randomBytes } from 'node:crypto';
import { nextDueAt } from '../../model/schedule.js';
import { changeTo } from '../change-to.js';
import type { DeploymentChange } from '../cmdb.js';
import { encodeApp, encodeDeployment, type StoredDeployment } from '../record-format.js';
import { tombstone } from '../tombstone.js';
import type { ChangeLog } from './change-log.js';
import type { Keys } from './keys.js';
import type { Command, Link } from './link.js';
import type { Records, Stored } from './records.js';
import { settle } from './settle.js';
import { UnknownOutcome } from './unknown-outcome.js';

export interface DeploymentWriterOptions {
  readonly link: Link;
  readonly keys: Keys;
  readonly records: Records;
  readonly log: ChangeLog;
}

/** What one call of `update` has tried to write, and may have written. */
interface Attempts {
  readonly versions: Set<string>;
  dropped: boolean;
}

/** Writes deployments by compare-and-set of their version and of their app's record, which the schedule depends on. */
export class DeploymentWriter {
  readonly #options: DeploymentWriterOptions;

  constructor(options: DeploymentWriterOptions) {
    this.#options = options;
  }

  /**
   * See Cmdb.update. A failed write may have landed: its version tells, as long as nobody else wrote; then the change is
   * idempotent by its ids. What belongs to a write that landed is done again.
   */
  async update(app: string, change: DeploymentChange): Promise<StoredDeployment> {
    const { records, link } = this.#options;
    const attempts: Attempts = { versions: new Set(), dropped: false };
    const outcome = new UnknownOutcome();
    for (;;) {
      try {
        const stored = await records.one(app);
        const current = stored.deployment;
        if (attempts.versions.has(current.version)) return await this.#complete(app, stored);
        if (attempts.dropped && stored.appText === undefined && current.version === '') await this.#clear(app, '');
        const deployment = run(change, stored);
        if (deployment === current.deployment) return current;
        const next = { deployment, version: randomBytes(12).toString('base64url') };
        if (await this.#write(app, stored, next, attempts)) return next;
      } catch (error) {
        if (error instanceof ChangeFault) throw error.cause;
        const mayHaveWritten = attempts.versions.size > 0 || attempts.dropped;
        await outcome.lookAgain(error, mayHaveWritten && !link.isClosed);
      }
    }
  }

  async #write(app: string, stored: Stored, next: StoredDeployment, attempts: Attempts): Promise<boolean> {
    const { link, keys } = this.#options;
    const { version } = stored.deployment;
    // A record that cannot be read, of a newer version perhaps, is not this program's to delete.
    const isGone = stored.appText === undefined || stored.app?.removed === true;
    if (next.deployment.instances.length === 0 && isGone) {
      attempts.dropped = true;
      const command: Command = ['fcDrop', keys.deployment(app), keys.app(app), version, stored.appText ?? ''];
      if ((await link.one(command)) !== 1) return false;
      await this.#clear(app, next.version);
      return true;
    }
    attempts.versions.add(next.version);
    // What has instances and no app is to drain, and a record says so.
    const marker = stored.appText === undefined ? encodeApp(tombstone(app, next.deployment)) : '';
    const earlier = this.#earlier(app, stored, next);
    const swap = [keys.deployment(app), keys.app(app), version, next.version, encodeDeployment(next)];
    // The schedule is moved earlier before the document is written, and once more after it: a lost race leaves a harmless early entry.
    const results = await link.all([
      ...earlier,
      ['fcSwap', ...swap, stored.appText ?? '', marker],
      ...this.#afterwards(app, stored, next),
    ]);
    return results[earlier.length] === 1;
  }

  /** The write landed and its answer was lost: the rest of it may not have been carried out. */
  async #complete(app: string, stored: Stored): Promise<StoredDeployment> {
    await this.#options.link.all(this.#afterwards(app, stored, stored.deployment));
    return stored.deployment;
  }

  /** Whatever else there was of an app that is gone. */
  async #clear(app: string, version: string): Promise<void> {
    const { link, keys, records, log } = this.#options;
    await settle([app], link, keys, records);
    await link.one(log.entry(version === '' ? { app } : { app, version }));
  }

  #afterwards(app: string, stored: Stored, { version, deployment }: StoredDeployment): Command[] {
    const { keys, log } = this.#options;
    const named: Command[] = stored.appText === undefined ? [['sadd', keys.names, app]] : [];
    return [...this.#earlier(app, stored, { version, deployment }), ...named, log.entry(changeTo(deployment, version))];
  }

  #earlier(app: string, stored: Stored, { deployment }: StoredDeployment): Command[] {
    const at = nextDueAt(deployment, stored.app?.app);
    return at === undefined ? [] : [['zadd', this.#options.keys.schedule, 'LT', at, app]];
  }
}

/** The caller's own fault is the caller's to see, not the store's: nothing is looked at again because of it. */
class ChangeFault extends Error {}

function run(change: DeploymentChange, { app, deployment }: Stored): StoredDeployment['deployment'] {
  try {
    return change(deployment.deployment, app?.app);
  } catch (error) {
    throw new ChangeFault('the change failed', { cause: error });
  }
}

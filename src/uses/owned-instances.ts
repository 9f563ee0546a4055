import type { Clock } from '../model/clock.js';
import { findInstance } from '../model/deployment.js';
import { type OwnedInstance, restoreOwned } from '../model/restore-owned.js';
import type { LocalApps } from './local-apps.js';

/** An instance that this node boots or ends, and what is known of it in the store. */
export interface Owned extends OwnedInstance {
  owner: string;
  /** The store was replaced, and may lack it until it is written anew. */
  inDoubt?: boolean;
  /** A store that was replaced lacked it, and has it back. */
  wasMissing?: boolean;
}

/** The instances that this node boots or ends; gives them back to a replaced store that lacks them. */
export class OwnedInstances {
  readonly #apps: LocalApps;
  readonly #clock: Clock;
  readonly #owned = new Set<Owned>();

  constructor(apps: LocalApps, clock: Clock) {
    this.#apps = apps;
    this.#clock = clock;
  }

  add(owned: Owned): void {
    this.#owned.add(owned);
  }

  delete(owned: Owned): void {
    this.#owned.delete(owned);
  }

  /** The store was replaced: it may lack them, until `restore` has written them. */
  doubt(): void {
    for (const owned of this.#owned) owned.inDoubt = true;
  }

  /** Writes those in doubt anew, as this session's. Throws what the store throws. */
  async restore(owner: string): Promise<void> {
    const inDoubt = [...this.#owned].filter((owned) => owned.inDoubt || owned.owner !== owner);
    await Promise.all(inDoubt.map((owned) => this.#restore(owned, owner)));
  }

  async #restore(owned: Owned, owner: string): Promise<void> {
    const { id } = owned.instance;
    let wasMissing = false;
    const { deployment } = await this.#apps.update(owned.app.name, (current) => {
      // Once is enough: an attempt whose outcome was unknown may have written it.
      wasMissing ||= findInstance(current, id) === undefined;
      return this.#owned.has(owned) ? restoreOwned(current, owned, owner, this.#clock.now()) : current;
    });
    owned.inDoubt = false;
    if (findInstance(deployment, id)?.owner !== owner) return;
    owned.owner = owner;
    owned.wasMissing ||= wasMissing;
  }
}

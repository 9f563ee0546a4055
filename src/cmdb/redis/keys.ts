import type { Table } from '../documents.js';

/** Names of the keys. All share a hash tag, so that a cluster keeps them in one slot, where a transaction may touch them all. */
export class Keys {
  readonly #prefix: string;
  /** A sorted set: apps by due time. */
  readonly schedule: string;
  /** A stream: the change log. */
  readonly changes: string;
  /** A stream: the ledger of all apps. */
  readonly ledger: string;
  /** A hash: sessions by incarnation. */
  readonly sessions: string;
  /** Names this life of the store. */
  readonly nonce: string;
  /** Id of the key that records are signed with. */
  readonly signingKey: string;
  /** A set: names of all apps. */
  readonly names: string;
  /** A sorted set: apps by the last day on which they used something, as a number such as 20261130. */
  readonly users: string;

  constructor(name: string) {
    this.#prefix = `{${name}}:`;
    this.schedule = `${this.#prefix}schedule`;
    this.changes = `${this.#prefix}changes`;
    this.ledger = `${this.#prefix}ledger`;
    this.sessions = `${this.#prefix}sessions`;
    this.nonce = `${this.#prefix}nonce`;
    this.signingKey = `${this.#prefix}signing-key`;
    this.names = `${this.#prefix}apps`;
    this.users = `${this.#prefix}users`;
  }

  /** A stream: the ledger of one app. */
  ledgerOf(app: string): string {
    return `${this.#prefix}ledger-of:${app}`;
  }

  document(table: Table, name: string): string {
    return `${this.#prefix}${table}:${name}`;
  }
}

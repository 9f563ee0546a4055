/** Names of the keys. Those of one app share a hash tag, so that a cluster keeps them together. */
export class Keys {
  readonly #prefix: string;
  readonly schedule: string;
  readonly changes: string;
  readonly sessions: string;
  readonly nonce: string;
  /** Names of all apps. */
  readonly names: string;

  constructor(name: string) {
    this.#prefix = `${name}:`;
    this.schedule = `${this.#prefix}schedule`;
    this.changes = `${this.#prefix}changes`;
    this.sessions = `${this.#prefix}sessions`;
    this.nonce = `${this.#prefix}nonce`;
    this.names = `${this.#prefix}apps`;
  }

  app(name: string): string {
    return `${this.#prefix}app:{${name}}`;
  }

  /** A hash: `version`, and `record` with the rest. */
  deployment(name: string): string {
    return `${this.#prefix}deployment:{${name}}`;
  }

  domain(domain: string): string {
    return `${this.#prefix}domain:${domain}`;
  }
}

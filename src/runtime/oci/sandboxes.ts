import { randomBytes } from 'node:crypto';
import type { Leases } from '../kept/leases.js';
import { toNumber, toText } from '../network/subnet.js';
import type { Sandbox } from './sandbox.js';

export interface SandboxesOptions {
  readonly leases: Leases;
  /** How many to keep ready for the next boots. */
  readonly count: number;
  /** Rejects with the signal's reason, or an Error that says what is wrong. */
  readonly make: (address: string, signal: AbortSignal) => Promise<Sandbox>;
}

/**
 * Addresses and sandboxes of instances, some of them made before their instance is known. Those that are ready end with this process;
 * their leases are then freed like those of other boots that were not finished.
 */
export class Sandboxes {
  readonly #options: SandboxesOptions;
  /** By the id of their lease. */
  readonly #ready = new Map<string, Sandbox>();
  /** Instances that boot, with their sandbox once they have one. */
  readonly #booting = new Map<string, Sandbox | undefined>();
  readonly #closing = new AbortController();
  #filling: Promise<void> | undefined;

  constructor(options: SandboxesOptions) {
    this.#options = options;
  }

  /** Leases an address to an instance that boots, with a sandbox if one is ready. */
  async lease(id: string): Promise<string> {
    const { leases } = this.#options;
    this.#booting.set(id, undefined);
    try {
      for (const [lease, sandbox] of this.#ready) {
        this.#ready.delete(lease);
        this.#booting.set(id, sandbox);
        if (sandbox.isConnected && (await leases.pass(toNumber(sandbox.address), lease, id))) return sandbox.address;
        this.#booting.set(id, undefined);
        await this.#drop(lease, sandbox);
      }
      return toText(await leases.lease(id));
    } catch (error) {
      this.leave(id);
      throw error;
    }
  }

  /** The sandbox of an instance that boots, made now if it has none. */
  async of(id: string, address: string, signal: AbortSignal): Promise<Sandbox> {
    const sandbox = this.#booting.get(id) ?? (await this.#options.make(address, signal));
    this.#booting.set(id, sandbox);
    return sandbox;
  }

  /** Ends the boot of an instance, whose own processes now hold its sandbox, or nothing does. Harmless twice. */
  leave(id: string): void {
    this.#booting.get(id)?.close();
    this.#booting.delete(id);
  }

  /** Makes sandboxes for the next boots, once none needs the processor. */
  fill(): void {
    this.#filling ??= this.#fill().finally(() => (this.#filling = undefined));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#filling;
    for (const [lease, sandbox] of this.#ready) await this.#drop(lease, sandbox);
    this.#ready.clear();
  }

  async #fill(): Promise<void> {
    const { count, leases, make } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted && this.#booting.size === 0 && this.#ready.size < count) {
      const lease = `ready-${randomBytes(8).toString('hex')}`;
      let address: number | undefined;
      try {
        address = await leases.lease(lease);
        this.#ready.set(lease, await make(toText(address), signal));
      } catch {
        // The next boot makes its own, and reports what prevents it. A lease that cannot be freed ends with this process.
        if (address !== undefined) await leases.free(address, lease).catch(() => {});
        return;
      }
    }
  }

  async #drop(lease: string, sandbox: Sandbox): Promise<void> {
    sandbox.close();
    await this.#options.leases.free(toNumber(sandbox.address), lease);
  }
}

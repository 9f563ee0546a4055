import { link, mkdir, open, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../model/clock.js';
import { identify, isRunning, type ProcessIdentity } from '../../proc-fs.js';
import { isPortFree } from './port-probe.js';
import { removeAbandoned } from './records.js';

export interface PortsOptions {
  readonly directory: string;
  readonly from: number;
  readonly to: number;
  readonly bindHost: string;
  readonly clock: Clock;
  /** Whether an instance still exists; what others leased is freed once their dispatcher is dead. */
  readonly isKnown: (instanceId: string) => Promise<boolean>;
}

interface Lease {
  readonly id: string;
  readonly claimant: ProcessIdentity;
}

/** A port that was freed is not used again for this long: a late packet must not reach another app. */
const restMs = 60_000;

/**
 * Ports of instances, leased through a file each, so that processes that share the directory never choose the same and a
 * restart forgets nothing. `PORT` exists while the port is leased, `PORT.freed` was last written when it was freed.
 */
export class Ports {
  readonly #options: PortsOptions;
  /** Oldest freed first, as far as this process knows; what it leased or freed itself goes to the end. */
  #order: number[] = [];
  /** By the monotonic clock: a step of the wall clock must not cut the rest of what was freed here. */
  readonly #freedHere = new Map<number, number>();

  constructor(options: PortsOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { directory, from, to } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await removeAbandoned(directory, (file) => file.startsWith('claim-'));
    await this.#freeAbandoned();
    const freedAt = new Map<number, number>();
    for (const file of await readdir(directory)) {
      const [port = '', freed] = file.split('.');
      const at = freed ? ((await modifiedAt(join(directory, file))) ?? 0) : Infinity;
      freedAt.set(Number(port), Math.max(at, freedAt.get(Number(port)) ?? 0));
    }
    const range = Array.from({ length: to - from + 1 }, (_, index) => from + index);
    const rank = (port: number) => freedAt.get(port) ?? 0;
    this.#order = range.toSorted((a, b) => (rank(a) === rank(b) ? a - b : rank(a) - rank(b)));
  }

  /** Leases the port that has been free for longest. Throws an Error that says what to do where none is left. */
  async lease(id: string): Promise<number> {
    const { directory, bindHost, from, to } = this.#options;
    const claim = join(directory, `claim-${id}`);
    const lease: Lease = { id, claimant: identify(process.pid) };
    await writeFile(claim, JSON.stringify(lease), { mode: 0o600 });
    try {
      for (const port of [...this.#order]) {
        if (!(await this.#claim(port, claim))) continue;
        this.#moveToEnd(port);
        if (await this.#isUsable(port, id, bindHost)) return port;
      }
    } finally {
      await rm(claim, { force: true });
    }
    await this.#freeAbandoned();
    throw new Error(
      `no free port from ${from} to ${to} (a freed one rests for a minute); widen runtimes.process.ports`,
    );
  }

  /** Frees the port where this instance holds it. Harmless twice. */
  async free(port: number, id: string): Promise<void> {
    const lease = await this.#read(port);
    if (lease?.id === id) await this.#release(port);
  }

  async #isUsable(port: number, id: string, bindHost: string): Promise<boolean> {
    let usable = false;
    try {
      usable = await isPortFree(port, bindHost);
    } finally {
      if (!usable) await this.free(port, id);
    }
    return usable;
  }

  /** A hard link appears whole or not at all, and not where there is one. */
  async #claim(port: number, claim: string): Promise<boolean> {
    if (this.#restsHere(port)) return false;
    try {
      await link(claim, this.#path(port));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
    // Only now can nobody lease and free it between this look and the lease.
    if (!this.#restsHere(port) && (await this.#isRested(port))) return true;
    await rm(this.#path(port), { force: true });
    return false;
  }

  #restsHere(port: number): boolean {
    const freedAt = this.#freedHere.get(port);
    if (freedAt === undefined) return false;
    const rests = this.#options.clock.monotonic() - freedAt < restMs;
    if (!rests) this.#freedHere.delete(port);
    return rests;
  }

  async #isRested(port: number): Promise<boolean> {
    const { clock } = this.#options;
    const path = `${this.#path(port)}.freed`;
    const freedAt = await modifiedAt(path);
    if (freedAt === undefined) return true;
    const now = clock.now();
    // The wall clock was set back: how long it rested is unknown, so it rests anew.
    if (freedAt > now) await utimes(path, now / 1_000, now / 1_000);
    return now - freedAt >= restMs;
  }

  /** Written as freed before it is: a claim in between is given back. */
  async #release(port: number): Promise<void> {
    const { clock } = this.#options;
    const path = `${this.#path(port)}.freed`;
    await (await open(path, 'a', 0o600)).close();
    await utimes(path, clock.now() / 1_000, clock.now() / 1_000);
    this.#freedHere.set(port, clock.monotonic());
    await rm(this.#path(port), { force: true });
    this.#moveToEnd(port);
  }

  /** Frees what a dispatcher leased that died before it wrote a record, and what lost its record since. */
  async #freeAbandoned(): Promise<void> {
    const { directory, isKnown } = this.#options;
    for (const file of await readdir(directory)) {
      if (!/^\d+$/.test(file)) continue;
      const lease = await this.#read(Number(file));
      if (lease && (isRunning(lease.claimant) || (await isKnown(lease.id)))) continue;
      await this.#release(Number(file));
    }
  }

  async #read(port: number): Promise<Lease | undefined> {
    try {
      const lease = JSON.parse(await readFile(this.#path(port), 'utf8')) as Lease;
      return typeof lease.id === 'string' && Number.isInteger(lease.claimant.pid) ? lease : undefined;
    } catch {
      return undefined;
    }
  }

  #moveToEnd(port: number): void {
    this.#order = [...this.#order.filter((other) => other !== port), port];
  }

  #path(port: number): string {
    return join(this.#options.directory, String(port));
  }
}

async function modifiedAt(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.mtimeMs;
}

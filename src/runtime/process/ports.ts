import { mkdir, readdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../../model/clock.js';

export interface PortsOptions {
  readonly directory: string;
  readonly from: number;
  readonly to: number;
  readonly bindHost: string;
  readonly clock: Clock;
}

/** A port that was freed is not used again for this long: a late packet must not reach another app. */
const restMs = 60_000;
const staleLockMs = 10_000;

/**
 * Ports of instances, leased through a file each, so that processes that share the directory never choose the same and
 * a restart forgets nothing. A lease holds its instance's id; an empty one was freed when it was last written.
 */
export class Ports {
  readonly #options: PortsOptions;
  /** Oldest freed first: the order of the range at first, freed ones at the end. */
  #order: number[] = [];

  constructor(options: PortsOptions) {
    this.#options = options;
  }

  /** `isKnown`: whether an instance still exists; the leases of others are freed now. */
  async open(isKnown: (instanceId: string) => Promise<boolean>): Promise<void> {
    const { directory, from, to } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const freedAt = new Map<number, number>();
    for (const file of await readdir(directory)) {
      const port = Number(file);
      const holder = await readFile(this.#path(port), 'utf8').catch(() => undefined);
      if (holder === undefined) continue;
      if (holder !== '' && !(await isKnown(holder))) await this.free(port);
      freedAt.set(port, (await stat(this.#path(port))).mtimeMs);
    }
    const range = Array.from({ length: to - from + 1 }, (_, index) => from + index);
    this.#order = range.toSorted((a, b) => (freedAt.get(a) ?? 0) - (freedAt.get(b) ?? 0) || a - b);
  }

  /** Leases the port that has been free for longest. Throws an Error that says what to do where none is left. */
  async lease(instanceId: string): Promise<number> {
    for (const port of [...this.#order]) {
      if (!(await this.#claim(port, instanceId))) continue;
      this.#order = [...this.#order.filter((other) => other !== port), port];
      if (await isBindable(port, this.#options.bindHost)) return port;
      await this.free(port);
    }
    const { from, to } = this.#options;
    throw new Error(
      `no free port from ${from} to ${to} (a freed one rests for a minute); widen runtimes.process.ports`,
    );
  }

  async free(port: number): Promise<void> {
    await writeFile(this.#path(port), '', { mode: 0o600 });
    this.#order = [...this.#order.filter((other) => other !== port), port];
  }

  /** Under a lock: whoever holds it is the only one to look at the lease and to write it. */
  async #claim(port: number, instanceId: string): Promise<boolean> {
    const lock = `${this.#path(port)}.lock`;
    if (!(await lockFor(lock))) return false;
    try {
      if (!(await this.#isFree(port))) return false;
      await writeFile(this.#path(port), instanceId, { mode: 0o600 });
      return true;
    } finally {
      await rmdir(lock).catch(() => {});
    }
  }

  async #isFree(port: number): Promise<boolean> {
    const lease = await stat(this.#path(port)).catch(() => undefined);
    return lease === undefined || (lease.size === 0 && this.#options.clock.now() - lease.mtimeMs >= restMs);
  }

  #path(port: number): string {
    return join(this.#options.directory, String(port));
  }
}

/** Making a directory succeeds for one caller only. A lock that a killed process left is taken away for the next time. */
async function lockFor(path: string): Promise<boolean> {
  const isMine = await mkdir(path).then(
    () => true,
    () => false,
  );
  if (isMine) return true;
  const held = await stat(path).catch(() => undefined);
  if (held && Date.now() - held.mtimeMs > staleLockMs) await rmdir(path).catch(() => {});
  return false;
}

/** Whether no foreign program holds the port. */
function isBindable(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

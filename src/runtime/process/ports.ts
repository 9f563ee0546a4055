import { link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
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

  async #claim(port: number, instanceId: string): Promise<boolean> {
    const path = this.#path(port);
    if (await this.#create(path, instanceId)) return true;
    const rested = await stat(path).then(
      ({ size, mtimeMs }) => size === 0 && this.#options.clock.now() - mtimeMs >= restMs,
      () => false,
    );
    if (!rested) return false;
    // Only one process can move a file away; whoever moved one that was leased meanwhile puts it back.
    const moved = `${path}.${instanceId}`;
    const isMine = await rename(path, moved).then(
      async () => (await readFile(moved, 'utf8')) === '',
      () => undefined,
    );
    if (isMine === false) await link(moved, path).catch(() => {});
    await rm(moved, { force: true });
    return isMine === true && this.#create(path, instanceId);
  }

  async #create(path: string, instanceId: string): Promise<boolean> {
    const file = await open(path, 'wx', 0o600).catch(() => undefined);
    if (!file) return false;
    await file.writeFile(instanceId);
    await file.close();
    return true;
  }

  #path(port: number): string {
    return join(this.#options.directory, String(port));
  }
}

/** Whether no foreign program holds the port. */
function isBindable(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

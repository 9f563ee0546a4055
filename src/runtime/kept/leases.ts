import { mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../model/clock.js';
import { claimName } from '../../machine/claim-name.js';
import { identify, isRunning, type ProcessIdentity } from '../../machine/proc-fs.js';
import { findHolders, type ListeningSocket } from '../../machine/proc-net.js';
import { removeAbandoned } from './records.js';

export interface LeasesOptions {
  readonly directory: string;
  readonly from: number;
  readonly to: number;
  /** What a number stands for, as errors say it. */
  readonly noun: string;
  /** How errors write a number; plain by default. */
  readonly textOf?: (number: number) => string;
  /** What to do if there is none left. */
  readonly remedy: string;
  readonly clock: Clock;
  /** Whether an instance still exists; the leases of others are freed once their dispatcher is dead. */
  readonly isKnown: (instanceId: string) => Promise<boolean>;
  /** Whether nothing else holds a number that is not leased. */
  readonly isFree: (number: number) => Promise<boolean>;
  /** Sockets that listen on numbers, if these are ports. */
  readonly sockets?: () => AsyncIterable<ListeningSocket>;
}

interface Lease {
  readonly id: string;
  readonly claimant: ProcessIdentity;
}

/** How long a freed port is not reused, so that no late packet reaches another app. */
const restMs = 60_000;
/** Unusable ports, not listed as listening, after which a boot gives up. */
const mostRefused = 100;
/** Minimum interval between looks for abandoned leases and for the programs that hold ports. */
const lookMs = 10_000;

/** The ports that cannot be leased, as of one moment. */
interface Held {
  readonly leased: ReadonlySet<number>;
  /** Listening sockets of other programs, by port. */
  readonly foreign: ReadonlyMap<number, ListeningSocket>;
}

/**
 * Leases numbers, such as ports, to instances by one file each, so that dispatchers that share the directory never choose the same and a restart forgets
 * nothing. `PORT` exists while the port is leased; `PORT.freed` was last written when it was freed.
 */
export class Leases {
  readonly #options: LeasesOptions;
  /** Ports in the order in which they were freed, as far as this process knows; those that it leases or frees go to the end. */
  #order = new Set<number>();
  /** Ports freed here, by the monotonic clock: a step of the wall clock must not shorten their rest. */
  readonly #freedHere = new Map<number, number>();
  #lookedAt = -Infinity;
  /** The programs that hold ports, as the last look found them. */
  #holders = '';

  constructor(options: LeasesOptions) {
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
    this.#order = new Set(range.toSorted((a, b) => (rank(a) === rank(b) ? a - b : rank(a) - rank(b))));
  }

  /** Leases the port that has been free for longest. If none is left, throws an Error that says what holds them and what to do. */
  async lease(id: string): Promise<number> {
    const claim = await this.#writeClaim(id);
    try {
      return await this.#leaseFirst(id, claim);
    } finally {
      await rm(claim, { force: true });
    }
  }

  /** Leases the first usable port. Looks at the whole range only after a candidate has failed. */
  async #leaseFirst(id: string, claim: string): Promise<number> {
    let held: Held | undefined;
    const refused: number[] = [];
    for (const port of [...this.#order]) {
      if (this.#restsHere(port) || held?.leased.has(port) || held?.foreign.has(port)) continue;
      if (await this.#claim(port, claim)) {
        this.#moveToEnd(port);
        if (await this.#isUsable(port, id)) return port;
        refused.push(port);
        if (refused.length === mostRefused) break;
      } else this.#moveToEnd(port);
      held ??= await this.#look();
    }
    throw new Error(await this.#shortage(held ?? (await this.#look()), refused));
  }

  async #look(): Promise<Held> {
    const { directory, from, to, sockets } = this.#options;
    const files = await readdir(directory);
    const leased = new Set(files.filter((file) => /^\d+$/.test(file)).map(Number));
    const foreign = new Map<number, ListeningSocket>();
    try {
      for await (const socket of sockets?.() ?? []) {
        const { port } = socket;
        if (port >= from && port <= to && !leased.has(port)) foreign.set(port, socket);
      }
    } catch {
      // The table cannot be read, so each port is tried.
    }
    return { leased, foreign };
  }

  /** Says why there is no port. */
  async #shortage({ leased, foreign }: Held, refused: readonly number[]): Promise<string> {
    const { from, to, noun, remedy, clock, textOf = String } = this.#options;
    if (clock.monotonic() - this.#lookedAt >= lookMs) {
      this.#lookedAt = clock.monotonic();
      await this.#freeAbandoned();
      this.#holders = await holdersOf(foreign.values());
    }
    const ours = [...leased].filter((port) => port >= from && port <= to).length;
    const silent = refused.filter((port) => !foreign.has(port)).length;
    const resting = to - from + 1 - ours - foreign.size - silent;
    const reasons = [
      [ours, 'leased to instances'],
      [resting, 'resting (a freed one rests for a minute)'],
      [foreign.size, `held by other programs${this.#holders}`],
      [silent, 'taken by a program that does not listen'],
    ] as const;
    const counts = reasons.flatMap(([count, what]) => (count > 0 ? [`${count} ${what}`] : []));
    return (
      `no free ${noun} from ${textOf(from)} to ${textOf(to)}: ${counts.join(', ')}; ` +
      `${foreign.size > 0 ? 'end what holds them, or ' : ''}${remedy}`
    );
  }

  /** Frees the port if this instance holds it. Harmless twice. */
  async free(port: number, id: string): Promise<void> {
    const lease = await this.#read(port);
    if (lease?.id === id) await this.#release(port);
  }

  /** Passes a lease of this process on to another instance. False if it is not `from` that holds it. */
  async pass(port: number, from: string, id: string): Promise<boolean> {
    if ((await this.#read(port))?.id !== from) return false;
    const claim = await this.#writeClaim(id);
    try {
      // Replaces the file at once, so that the port is never free.
      await rename(claim, this.#path(port));
    } finally {
      await rm(claim, { force: true });
    }
    return true;
  }

  async #writeClaim(id: string): Promise<string> {
    const claim = join(this.#options.directory, `claim-${id}`);
    const lease: Lease = { id, claimant: identify(process.pid) };
    await writeFile(claim, JSON.stringify(lease), { mode: 0o600 });
    return claim;
  }

  async #isUsable(port: number, id: string): Promise<boolean> {
    let usable = false;
    try {
      usable = await this.#options.isFree(port);
    } finally {
      // No instance used it, so it need not rest: otherwise a program that tries all ports would block them for longer.
      if (!usable && (await this.#read(port))?.id === id) await rm(this.#path(port), { force: true });
    }
    return usable;
  }

  /** False if the port is leased. */
  async #claim(port: number, claim: string): Promise<boolean> {
    if (this.#restsHere(port)) return false;
    if (!(await claimName(claim, this.#path(port)))) return false;
    // Checked after the claim, so that nothing can lease and free the port in between.
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
    // The wall clock was set back, so the time of rest is unknown and begins anew.
    if (freedAt > now) await utimes(path, now / 1_000, now / 1_000);
    return now - freedAt >= restMs;
  }

  /** Frees a port. `PORT.freed` is written first, so that a claim in between is given back. */
  async #release(port: number): Promise<void> {
    const { clock } = this.#options;
    const path = `${this.#path(port)}.freed`;
    await (await open(path, 'a', 0o600)).close();
    await utimes(path, clock.now() / 1_000, clock.now() / 1_000);
    this.#freedHere.set(port, clock.monotonic());
    await rm(this.#path(port), { force: true });
    this.#moveToEnd(port);
  }

  /** Frees the leases without a record whose dispatcher is dead. */
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
    if (this.#order.delete(port)) this.#order.add(port);
  }

  #path(port: number): string {
    return join(this.#options.directory, String(port));
  }
}

async function modifiedAt(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.mtimeMs;
}

/** Names the programs that hold most of these sockets. */
async function holdersOf(sockets: Iterable<ListeningSocket>): Promise<string> {
  const all = [...sockets];
  const pids = await findHolders(new Set(all.map(({ inode }) => inode)));
  const counts = new Map<string, number>();
  for (const { inode, uid } of all) {
    const pid = pids.get(inode);
    const who = pid === undefined ? `user ${uid}` : `process ${pid} of user ${uid}`;
    counts.set(who, (counts.get(who) ?? 0) + 1);
  }
  const most = [...counts].toSorted(([, a], [, b]) => b - a).slice(0, 3);
  return most.length === 0 ? '' : ` (${most.map(([who, count]) => `${count} by ${who}`).join(', ')})`;
}

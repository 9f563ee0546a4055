import { readlinkSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import { Lru } from '../../model/lru.js';
import { shared } from '../../model/shared-work.js';
import { forEachProcess, isRunning, mayRun, socketDescriptors, usersOf } from '../../machine/proc-fs.js';
import { addressesOf, findHolders, type ListeningSocket, listeningSockets } from '../../machine/proc-net.js';
import { membersOf, treeOf } from '../kept/members.js';
import type { ProcessRecord } from '../kept/records.js';

export interface ListeningOptions {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A listening socket of an instance. */
interface Own {
  /** Unique to this socket while it is open. */
  readonly name: string;
  /** Path of its descriptor in one of the instance's processes; undefined if descriptors cannot be read. */
  readonly descriptor?: string;
}

/** `foreign`: another program listens; `none`: nothing listens; `untold`: /proc does not tell. */
type Found = Own | 'foreign' | 'none' | 'untold';

interface Verdict {
  readonly inodes: string;
  readonly until: number;
}

/** How long a port counts as foreign without another look at all processes, as readiness asks many times a second. */
const verdictMs = 500;
/** Instances that another dispatcher ends are never forgotten by `forget`. */
const mostRemembered = 10_000;

/**
 * Whether one of an instance's own processes listens at its address. Finding the socket takes milliseconds; checking that it is still
 * open takes one look at a descriptor. While it is, no other user's program can listen there: the kernel shares a listening port only
 * among sockets of one user.
 */
export class Listening {
  readonly #options: ListeningOptions;
  /** By instance id. */
  readonly #own = new Lru<string, Own>(mostRemembered);
  readonly #finding = new Map<string, Promise<Found>>();
  /** Sockets that were found to be foreign, by instance id. */
  readonly #foreign = new Lru<string, Verdict>(mostRemembered);
  /** Instances whose port another program holds, which is logged once. */
  readonly #said = new Set<string>();

  constructor(options: ListeningOptions) {
    this.#options = options;
  }

  /** Whether the instance itself listens at its address; undefined if /proc does not tell. */
  async isOwn(record: ProcessRecord): Promise<boolean | undefined> {
    const found = await this.#find(record);
    return found === 'untold' ? undefined : typeof found === 'object';
  }

  /** Name of the socket that was found, if it is still open; see `Runtime.listener`. Takes one look at a descriptor. */
  stillOpen(id: string): string | undefined {
    const own = this.#own.get(id);
    return own?.descriptor !== undefined && nameOf(own.descriptor) === own.name ? own.name : undefined;
  }

  /** Name of the socket on which the instance accepts connections now; undefined if it does not. */
  async nameOf(record: ProcessRecord): Promise<string | undefined> {
    const { id } = record;
    const found = await shared(this.#finding, id, () => this.#find(record));
    if (found === 'untold') return found;
    if (typeof found === 'string') return undefined;
    // A search that began earlier may have seen a socket that closed since, so it must still be open.
    return found.descriptor === undefined ? this.#stillListed(record, found) : this.stillOpen(id);
  }

  /** See `Runtime.listensOn`. */
  async addressesOf(record: ProcessRecord): Promise<readonly string[] | undefined> {
    const { process: main } = record;
    if (!main || !isRunning(main)) return [];
    const members = await membersOf(record);
    const held = await forEachProcess(
      members.map(({ pid }) => pid),
      socketDescriptors,
    );
    return addressesOf(listeningSockets(undefined, main.pid), ({ inode }) =>
      held.some((sockets) => sockets?.has(inode)),
    );
  }

  forget(id: string): void {
    this.#own.delete(id);
    this.#foreign.delete(id);
    this.#said.delete(id);
  }

  async #find(record: ProcessRecord): Promise<Found> {
    const found = await this.#search(record);
    if (typeof found === 'object') this.#own.set(record.id, found);
    else this.#own.delete(record.id);
    return found;
  }

  async #search(record: ProcessRecord): Promise<Found> {
    const { process: main, port } = record;
    if (!main || !isRunning(main)) return 'none';
    const tree = treeOf(main.pid);
    const address = await addressOf(record);
    const seen: ListeningSocket[] = [];
    let isReadable = true;
    try {
      for await (const socket of listeningSockets(port)) {
        if (!serves(socket, address)) continue;
        // Beside a foreign IPv4 socket, an IPv6 socket gets no IPv4 connections.
        if (socket.family === 6 && isIP(address) === 4 && seen.length > 0) break;
        const held = await descriptorOf(await tree, [socket]);
        if (typeof held === 'object') return held;
        if (held === 'untold') isReadable = false;
        seen.push(socket);
      }
    } catch {
      return 'untold';
    }
    if (seen.length === 0) return 'none';
    if (!isReadable) return this.#byUser(record, await tree, seen);
    if (this.#isKnownForeign(record.id, seen)) return 'foreign';
    // The process may have left its parents; its group or its marker tells then.
    const pids = (await membersOf(record)).map(({ pid }) => pid);
    const found = await descriptorOf(pids, seen);
    if (found === 'untold') return this.#byUser(record, pids, seen);
    if (found === 'foreign') await this.#onForeign(record, seen);
    return found;
  }

  /** If descriptors are hidden from a dispatcher that is not root, sockets of the instance's user count as its own. */
  async #byUser(record: ProcessRecord, pids: readonly number[], seen: readonly ListeningSocket[]): Promise<Found> {
    const users = new Set(pids.flatMap(usersOf));
    const [socket] = seen;
    if (socket && seen.every(({ uid }) => users.has(uid))) return { name: `user ${socket.uid} ${linkOf(socket)}` };
    await this.#onForeign(record, seen);
    return 'foreign';
  }

  async #stillListed(record: ProcessRecord, { name }: Own): Promise<string | undefined> {
    for await (const socket of listeningSockets(record.port)) {
      if (`user ${socket.uid} ${linkOf(socket)}` === name) return name;
    }
    return undefined;
  }

  #isKnownForeign(id: string, sockets: readonly ListeningSocket[]): boolean {
    const verdict = this.#foreign.get(id);
    const inodes = String(sockets.map(({ inode }) => inode));
    return verdict !== undefined && verdict.inodes === inodes && this.#options.clock.monotonic() < verdict.until;
  }

  async #onForeign(record: ProcessRecord, sockets: readonly ListeningSocket[]): Promise<void> {
    const { clock, logger } = this.#options;
    const { id, app, port } = record;
    const inodes = sockets.map(({ inode }) => inode);
    this.#foreign.set(id, { inodes: String(inodes), until: clock.monotonic() + verdictMs });
    if (this.#said.has(id)) return;
    if (this.#said.size >= mostRemembered) this.#said.clear();
    this.#said.add(id);
    const holders = await findHolders(new Set(inodes));
    const others = sockets.map(({ address, uid, inode }) => ({ address, uid, pid: holders.get(inode) }));
    const [uid] = usersOf(record.process?.pid ?? 0);
    logger.warn(
      { app, instance: id, port, uid, others },
      'another program listens on the port of an instance: no request is sent there; see what it is',
    );
  }
}

/** The IP address that connections to the instance lead to; the host itself if the look-up fails. */
async function addressOf({ host }: ProcessRecord): Promise<string> {
  if (isIP(host) !== 0) return normal(host);
  return lookup(host).then(
    ({ address }) => normal(address),
    () => host,
  );
}

/** The form in which addresses are read from the kernel's tables. */
function normal(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}

/** Whether connections to an address may lead to a socket. */
function serves(socket: ListeningSocket, address: string): boolean {
  if (socket.address === address) return true;
  return socket.address === '::' || (socket.address === '0.0.0.0' && isIP(address) !== 6);
}

/** The first descriptor of one of these sockets; `untold` if none was found but a running process could not be inspected. */
async function descriptorOf(
  pids: readonly number[],
  sockets: readonly ListeningSocket[],
): Promise<Own | 'foreign' | 'untold'> {
  const held = await forEachProcess(pids, socketDescriptors);
  for (const [index, pid] of pids.entries()) {
    for (const socket of sockets) {
      const fd = held[index]?.get(socket.inode);
      const descriptor = `/proc/${pid}/fd/${fd}`;
      if (fd !== undefined) return { descriptor, name: `${descriptor} ${linkOf(socket)}` };
    }
  }
  return pids.some((pid, index) => held[index] === undefined && mayRun(pid)) ? 'untold' : 'foreign';
}

function linkOf({ inode }: ListeningSocket): string {
  return `socket:[${inode}]`;
}

function nameOf(descriptor: string): string | undefined {
  try {
    return `${descriptor} ${readlinkSync(descriptor)}`;
  } catch {
    return undefined;
  }
}

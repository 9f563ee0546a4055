import { readlinkSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import { shared } from '../../model/shared-work.js';
import { forEachProcess, isRunning, mayRun, socketDescriptors, usersOf } from '../../machine/proc-fs.js';
import { addressesOf, findHolders, type ListeningSocket, listeningSockets } from '../../machine/proc-net.js';
import { membersOf, treeOf } from './members.js';
import type { ProcessRecord } from './records.js';

export interface ListeningOptions {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A listening socket of an instance. */
interface Own {
  /** Of this socket alone, as long as it is open. */
  readonly name: string;
  /** The descriptor of one of the instance's processes; undefined if their descriptors cannot be read. */
  readonly descriptor?: string;
}

/** `foreign`: another program's; `none`: nothing listens; `untold`: /proc does not tell. */
type Found = Own | 'foreign' | 'none' | 'untold';

interface Verdict {
  readonly inodes: string;
  readonly until: number;
}

/** While a foreign program holds a port, readiness asks many times a second; all processes are looked at this often. */
const verdictMs = 500;
const mostRemembered = 10_000;

/**
 * Whether what listens at the address of an instance is one of its own processes. To find that out costs milliseconds; that a
 * socket which was found is still open, one look at a descriptor. While it is, no other user's program can listen there: the kernel
 * shares a port that listens among sockets of one user only.
 */
export class Listening {
  readonly #options: ListeningOptions;
  /** By instance id. */
  readonly #own = new Map<string, Own>();
  readonly #finding = new Map<string, Promise<Found>>();
  /** Sockets that were found to be foreign, by instance id. */
  readonly #foreign = new Map<string, Verdict>();
  /** Instances whose port another program was seen to hold: said once each. */
  readonly #said = new Set<string>();

  constructor(options: ListeningOptions) {
    this.#options = options;
  }

  /** Undefined if /proc does not tell. */
  async isOwn(record: ProcessRecord): Promise<boolean | undefined> {
    const found = await this.#find(record);
    return found === 'untold' ? undefined : typeof found === 'object';
  }

  /** The name of the socket that was found, if it is still open; see `Runtime.listener`. Costs a look at one descriptor. */
  stillOpen(id: string): string | undefined {
    const own = this.#own.get(id);
    return own?.descriptor !== undefined && nameOf(own.descriptor) === own.name ? own.name : undefined;
  }

  /** The name of the socket at which the instance accepts connections at the moment; undefined if it does not. */
  async nameOf(record: ProcessRecord): Promise<string | undefined> {
    const { id } = record;
    const found = await shared(this.#finding, id, () => this.#find(record));
    if (found === 'untold') return found;
    if (typeof found === 'string') return undefined;
    // A search that was under way may have seen it before it closed: it has to be open after this call began.
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
    if (typeof found === 'object') {
      this.#own.delete(record.id);
      remember(this.#own, record.id, found);
    } else this.#own.delete(record.id);
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
        // An IPv6 socket beside a foreign IPv4 one takes no IPv4 connections.
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
    // It may have left its parents: then its group or its marker tells.
    const pids = (await membersOf(record)).map(({ pid }) => pid);
    const found = await descriptorOf(pids, seen);
    if (found === 'untold') return this.#byUser(record, pids, seen);
    if (found === 'foreign') await this.#onForeign(record, seen);
    return found;
  }

  /** A program whose descriptors are hidden from a dispatcher that is not root: sockets of its user are taken for its own. */
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
    remember(this.#foreign, id, { inodes: String(inodes), until: clock.monotonic() + verdictMs });
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

/** Where connections to the instance lead, as an IP address; its host if that has none. */
async function addressOf({ host }: ProcessRecord): Promise<string> {
  if (isIP(host) !== 0) return normal(host);
  return lookup(host).then(
    ({ address }) => normal(address),
    () => host,
  );
}

/** As the kernel's tables are read. */
function normal(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}

/** Whether connections to an address may lead to a socket. */
function serves(socket: ListeningSocket, address: string): boolean {
  if (socket.address === address) return true;
  return socket.address === '::' || (socket.address === '0.0.0.0' && isIP(address) !== 6);
}

/** `untold` if none was found, but not all processes that run could be looked into. */
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

/** The oldest goes first: what another dispatcher ends is never forgotten by name here. */
function remember<T>(map: Map<string, T>, id: string, value: T): void {
  if (map.size >= mostRemembered) map.delete(map.keys().next().value ?? '');
  map.set(id, value);
}

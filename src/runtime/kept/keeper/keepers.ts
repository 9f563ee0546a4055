import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { type Descriptor, inheritable } from '../../../machine/descriptors.js';
import type { Clock } from '../../../model/clock.js';
import type { ProcessIdentity } from '../../../machine/proc-fs.js';
import type { Command } from '../child.js';
import type { KeeperSettings } from '../keeper-main.js';
import { killUnborn } from '../unborn.js';
import { KeeperLostError, KeeperSilentError, Link, type LinkEvents } from './link.js';
import type { Kept } from './messages.js';

export interface KeepersOptions {
  /** Directory of their sockets. */
  readonly directory: string;
  /** The installation, as several may share the directory. */
  readonly group: string;
  readonly output: { readonly directory: string; readonly maxBytes: number };
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: Pick<LinkEvents, 'onExit' | 'onOutput'> & {
    /** Called when a keeper has ended before its apps, which may run on unseen. Not called after `close`. */
    readonly onLost: (name: string, running: readonly Kept[]) => void;
  };
  /** Kills what a lost order, whose keeper has ended, has started. */
  readonly endStarted: (id: string) => Promise<void>;
}

/** A link to a keeper; `gone` if the keeper has certainly ended, `silent` if it does not answer or cannot be asked. */
export type Found = Link | 'silent' | 'gone';

const keeperMain = fileURLToPath(new URL('../keeper-main.js', import.meta.url));
/** No threads for the compiler, which has nothing to do in a keeper. */
const flags = ['--v8-pool-size=0'];
/** Variable in a keeper's environment that marks its forks until they become the app. */
const entryName = 'FASTCONTAINER_KEEPER';
/** How long a keeper may take to answer on a busy machine before it counts as silent. */
const helloLimitMs = 10_000;
/** Pause before an heir's link that was cut is made anew. */
const renewMs = 1_000;
const safeName = /^[0-9a-f]{12}\.[0-9a-f]{24}$/;
/** What the system says if no socket has this name, or if nothing listens on it. All other errors tell nothing of the keeper. */
const goneCodes: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ECONNREFUSED']);

interface OwnKeeper {
  readonly name: string;
  readonly link: Link;
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
}

/**
 * The keepers (keeper-main.ts) that a dispatcher uses: its own, which starts its apps, and those of earlier dispatchers whose apps
 * still run. Their sockets are in a directory that no other user can enter.
 */
export class Keepers {
  readonly #options: KeepersOptions;
  readonly #group: string;
  /** Links to keepers that report to this dispatcher, or will, by name. */
  readonly #links = new Map<string, Link>();
  #own: OwnKeeper | undefined;
  #directory = -1;
  #inherited: readonly Descriptor[] | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: KeepersOptions) {
    this.#options = options;
    this.#group = createHash('sha256').update(options.group).digest('hex').slice(0, 12);
  }

  async open(): Promise<void> {
    const { directory } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    this.#directory = openSync(directory, 'r');
  }

  /** Name of the keeper that starts the next app; starts one if there is none. Throws the system's error. */
  prepare(): string {
    return this.#ensure().name;
  }

  /** Starts an app; resolves once it runs. Rejects with the system's error if it was not started, or was ended again. */
  async start(id: string, app: string, command: Command): Promise<{ process: ProcessIdentity; keeper: string }> {
    try {
      return await this.#startBy(this.#ensure(), id, app, command);
    } catch (error) {
      if (!(error instanceof KeeperLostError)) throw error;
      return this.#startBy(this.#ensure(), id, app, command);
    }
  }

  /** Becomes an heir of all keepers: those whose own dispatcher is gone report their exits and output here from now on. */
  async inherit(): Promise<void> {
    const names = (await readdir(this.#options.directory)).flatMap((file) => {
      const name = file.slice(0, -'.sock'.length);
      return file.endsWith('.sock') && safeName.test(name) && name.startsWith(this.#group) ? [name] : [];
    });
    await Promise.all(names.map((name) => this.#inherit(name)));
  }

  /** Asks a keeper by its name over its owner's link, or a new connection for as long as `ask` runs: an heir's link may be out of date. */
  async with<T>(name: string | undefined, ask: (found: Found) => T | Promise<T>): Promise<T> {
    if (name === undefined || !safeName.test(name)) return ask('gone');
    if (this.#own?.name === name) return ask(this.#own.link);
    const guest = await this.#connect(name, 'guest');
    if (typeof guest === 'string') return ask(guest);
    try {
      return await ask(guest);
    } finally {
      await guest.close();
    }
  }

  /** Closes all links. Waits for its own keeper to end if that has no apps. Re-entrant. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const own = this.#own;
    const isNeeded = own?.link.isNeeded;
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    if (this.#directory >= 0) closeSync(this.#directory);
    if (!own || isNeeded) return;
    own.child.ref();
    await own.exited;
  }

  async #startBy(own: OwnKeeper, id: string, app: string, command: Command) {
    try {
      return { process: await own.link.start(id, app, command), keeper: own.name };
    } catch (error) {
      if (error instanceof KeeperLostError) {
        // Its forks must not become the app, beside the one that is started again.
        await killUnborn(`${entryName}=${own.name}`, this.#options.clock);
        await this.#options.endStarted(id);
      } else if (error instanceof KeeperSilentError && this.#own === own) {
        this.#options.logger.error(
          { pid: own.child.pid },
          'the keeper of apps does not answer; another one is started',
        );
        this.#own = undefined;
      }
      throw error;
    }
  }

  #ensure(): OwnKeeper {
    if (this.#closing) throw new Error('the runtime is closed');
    this.#own ??= this.#spawn();
    return this.#own;
  }

  #spawn(): OwnKeeper {
    const { directory, output, clock } = this.#options;
    const name = `${this.#group}.${randomBytes(12).toString('hex')}`;
    const settings: KeeperSettings = {
      dispatcher: process.pid,
      directory: resolve(directory),
      name,
      output: { directory: resolve(output.directory), maxBytes: output.maxBytes },
    };
    this.#inherited ??= inheritable();
    const args = [...flags, keeperMain, JSON.stringify(settings), JSON.stringify(this.#inherited)];
    const child = spawn(process.execPath, args, {
      // In its own session, so that Ctrl-C, which ends a dispatcher in a terminal, does not end it.
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      env: { ...onlyForRunning(), [entryName]: name },
    });
    child.unref();
    // A process that could not be started emits no exit.
    const exited = new Promise<void>((ended) => child.once('exit', () => ended()).once('error', () => ended()));
    const link = new Link({ name, socket: child.stdio[3] as Socket, role: 'owner', clock }, this.#events());
    const own = { name, link, child, exited };
    this.#links.set(name, link);
    void link.closed.then(() => this.#onOwnClosed(own));
    return own;
  }

  async #inherit(name: string): Promise<Found | undefined> {
    if (this.#closing || this.#links.has(name)) return undefined;
    const found = await this.#connect(name, 'heir');
    if (found === 'gone') {
      const { directory } = this.#options;
      await rm(join(directory, `${name}.sock`), { force: true });
      await rm(join(directory, `${name}.pipes`), { recursive: true, force: true });
    }
    return found;
  }

  async #connect(name: string, role: 'heir' | 'guest'): Promise<Found> {
    const found = await this.#ask(name, role);
    // A connection that was cut proves nothing: whether the keeper has ended, a second one tells.
    return found === 'cut' ? this.#ask(name, role).then((again) => (again === 'cut' ? 'silent' : again)) : found;
  }

  #ask(name: string, role: 'heir' | 'guest'): Promise<Found | 'cut'> {
    const { clock } = this.#options;
    if (this.#closing) return Promise.resolve('silent');
    return new Promise((resolve) => {
      // The path of a socket must be short, but its directory's path may be long.
      const socket = connect(`/proc/self/fd/${this.#directory}/${name}.sock`);
      const link = new Link({ name, socket, role, clock }, this.#events());
      if (role === 'heir') {
        this.#links.set(name, link);
        void link.closed.then(() => this.#onHeirClosed(link));
      }
      // Waiting for the keeper keeps this process alive.
      socket.ref();
      const settle = (found: Found | 'cut') => {
        limit.cancel();
        link.beIdle();
        resolve(found);
      };
      const limit = clock.after(helloLimitMs, () => {
        settle('silent');
        // An heir waits on: it hears of exits once the keeper goes on.
        if (role === 'guest') void link.close();
      });
      void link.ready.then(() => settle(link));
      void link.closed.then(() => settle(goneCodes.has(link.errorCode) ? 'gone' : 'cut'));
    });
  }

  #events(): LinkEvents {
    const { events, logger } = this.#options;
    const onFault = (message: string) => logger.warn({ fault: message }, 'the keeper of apps reports a fault');
    return { onExit: events.onExit, onOutput: events.onOutput, onFault };
  }

  #onOwnClosed({ link, child }: OwnKeeper): void {
    if (this.#own?.link === link) this.#own = undefined;
    this.#forget(link);
    if (this.#closing) return;
    const running = runningOf(link);
    this.#options.logger.warn({ pid: child.pid, apps: running.length }, 'the keeper of apps has ended');
    this.#options.events.onLost(link.name, running);
  }

  async #onHeirClosed(link: Link): Promise<void> {
    this.#forget(link);
    const isGone = goneCodes.has(link.errorCode) || (await this.with(link.name, (found) => found === 'gone'));
    if (this.#closing) return;
    if (isGone) this.#options.events.onLost(link.name, runningOf(link));
    // Nobody else would hear of its apps.
    else this.#options.clock.after(renewMs, () => void this.#renew(link));
  }

  async #renew(link: Link): Promise<void> {
    try {
      // If it has ended by now, a new link knows of no apps.
      if ((await this.#inherit(link.name)) === 'gone') this.#options.events.onLost(link.name, runningOf(link));
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'could not make the link to the keeper of apps anew');
    }
  }

  #forget(link: Link): void {
    if (this.#links.get(link.name) === link) this.#links.delete(link.name);
  }
}

function runningOf({ kept }: Link): Kept[] {
  return [...kept.values()].filter(({ cause }) => cause === undefined);
}

/** The part of the environment that Node and `mkfifo` need to be found and loaded; the keeper gets nothing else. */
function onlyForRunning(): Record<string, string> {
  return Object.fromEntries(
    ['PATH', 'LD_LIBRARY_PATH'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

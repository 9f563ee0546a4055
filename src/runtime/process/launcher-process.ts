import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../../model/clock.js';
import type { ProcessIdentity } from '../../proc-fs.js';
import type { Command } from './child.js';
import type { LauncherReport, LaunchOrder } from './launcher-messages.js';
import { killUnborn } from './unborn.js';

export interface LauncherProcessOptions {
  /** The script that it runs. */
  readonly script: string;
  readonly clock: Clock;
  readonly onReady: () => void;
}

/** Who is told what becomes of a process that the launcher started. */
export interface Parent {
  readonly onExit: (cause: string, process: ProcessIdentity) => void;
  /** The launcher has ended before the process did: nobody tells of its exit any more. */
  readonly onOrphaned: (process: ProcessIdentity) => void;
}

/** What the launcher made of an order; `lost` where it has ended with it in hand, and may have started the process or not. */
export type Launched =
  | { readonly outcome: 'started'; readonly process: ProcessIdentity }
  | { readonly outcome: 'declined' | 'lost' };

interface Order {
  readonly parent: Parent;
  /** Undefined once it is answered. */
  waiting: { resolve(launched: Launched): void; reject(error: Error): void } | undefined;
  process?: ProcessIdentity;
}

/** No threads for the compiler, which has nothing to do there. */
const flags = ['--v8-pool-size=0'];
/** In its environment, so that what it has forked is known as long as that is not the app yet. */
const entryName = 'FASTCONTAINER_LAUNCHER';
/** Without a word for so long, twice in a row, while it has something to do, it stands still. */
const silenceMs = 1_000;
const startLimitMs = 10_000;

/** One launcher (launcher-main.ts) as its dispatcher sees it, from its start to its end. */
export class LauncherProcess {
  /** Resolves to why, once it is dead and everything that it told has been heard. */
  readonly ended: Promise<string>;
  readonly #clock: Clock;
  readonly #onReady: () => void;
  readonly #entry = `${entryName}=${randomBytes(12).toString('hex')}`;
  readonly #child: ChildProcess;
  readonly #orders = new Map<number, Order>();
  readonly #disconnected: Promise<void>;
  readonly #startLimit: Timer;
  #lastOrder = 0;
  #waiting = 0;
  #state: 'starting' | 'ready' | 'ending' = 'starting';
  #silence: Timer | undefined;
  #silences = 0;

  /** Throws the system's error where no process can be started. */
  constructor({ script, clock, onReady }: LauncherProcessOptions) {
    this.#clock = clock;
    this.#onReady = onReady;
    this.#child = spawn(process.execPath, [...flags, script], {
      // Of a session of its own: what ends a dispatcher in a terminal (Ctrl-C) must not end it first.
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: { ...onlyForLoading(), [entryName]: this.#entry.slice(entryName.length + 1) },
    });
    this.#child.unref();
    this.#child.channel?.unref();
    this.#child.on('message', (report: LauncherReport) => this.#hear(report));
    this.#disconnected = new Promise((resolve) => void this.#child.once('disconnect', resolve));
    // Whatever broke the channel, nothing can be asked of it any more.
    void this.#disconnected.then(() => this.#kill());
    this.#startLimit = clock.after(startLimitMs, () => this.#state === 'starting' && this.#kill());
    this.ended = this.#end();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isReady(): boolean {
    return this.#state === 'ready';
  }

  /** Only of one that is ready. Rejects with the system's error where the command cannot be run. */
  launch(command: Command, output: string, parent: Parent): Promise<Launched> {
    const order = (this.#lastOrder += 1);
    return new Promise((resolve, reject) => {
      this.#orders.set(order, { parent, waiting: { resolve, reject } });
      this.#waiting += 1;
      // What waits for an answer keeps this process alive, a launcher as such does not.
      this.#child.channel?.ref();
      this.#awaitWord();
      // An error here is that of a broken channel, which is noticed by itself.
      this.#child.send({ order, command, output } satisfies LaunchOrder, () => {});
    });
  }

  /** Ends it once it has answered; resolves when it is dead. What it started runs on. */
  async close(): Promise<void> {
    this.#state = 'ending';
    this.#child.ref();
    if (this.#waiting === 0) this.#kill();
    await this.ended;
  }

  async #end(): Promise<string> {
    const cause = await new Promise<string>((resolve) => {
      this.#child.once('exit', (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code ?? 0}`));
      // Errors of sending come here too; they are no end.
      this.#child.on('error', (error) => this.#child.pid === undefined && resolve(error.message));
    });
    this.#state = 'ending';
    this.#startLimit.cancel();
    this.#silence?.cancel();
    // What it forked and what is not an app yet holds the channel open, and would become one later.
    const failure = await (this.#waiting > 0 ? killUnborn(this.#entry, this.#clock) : undefined)?.catch(
      (error: Error) => error,
    );
    if (this.#child.pid !== undefined && !failure) await this.#disconnected;
    for (const order of this.#orders.values()) {
      if (failure) order.waiting?.reject(failure);
      else order.waiting?.resolve({ outcome: 'lost' });
      if (order.process) order.parent.onOrphaned(order.process);
    }
    this.#orders.clear();
    this.#child.channel?.unref();
    return cause;
  }

  #hear(report: LauncherReport): void {
    this.#silences = 0;
    if (report.kind === 'ready') return this.#beReady();
    const order = this.#orders.get(report.order);
    if (!order) return;
    if (report.kind === 'started') {
      order.process = report.process;
      this.#settle(order)?.resolve({ outcome: 'started', process: report.process });
      return;
    }
    this.#orders.delete(report.order);
    const waiting = this.#settle(order);
    if (report.kind === 'exited') order.parent.onExit(report.cause, report.process);
    else if (report.kind === 'declined') waiting?.resolve({ outcome: 'declined' });
    else waiting?.reject(Object.assign(new Error(report.message), { code: report.code }));
  }

  #beReady(): void {
    if (this.#state !== 'starting') return;
    this.#startLimit.cancel();
    this.#state = 'ready';
    this.#onReady();
  }

  #settle(order: Order): Order['waiting'] {
    const { waiting } = order;
    if (!waiting) return undefined;
    order.waiting = undefined;
    this.#waiting -= 1;
    if (this.#waiting === 0) {
      this.#silence?.cancel();
      this.#silence = undefined;
      this.#child.channel?.unref();
      if (this.#state === 'ending') this.#kill();
    }
    return waiting;
  }

  /** Twice, since a timer of a process that stood still itself fires before it has heard what came meanwhile. */
  #awaitWord(): void {
    this.#silence ??= this.#clock.after(silenceMs, () => {
      this.#silence = undefined;
      this.#silences += 1;
      if (this.#silences > 1) this.#kill();
      else this.#awaitWord();
    });
  }

  #kill(): void {
    this.#state = 'ending';
    this.#child.kill('SIGKILL');
  }
}

/** What of the environment node itself may need to be loaded; options for the dispatcher are not for the launcher. */
function onlyForLoading(): Record<string, string> {
  const { LD_LIBRARY_PATH: libraries } = process.env;
  return libraries === undefined ? {} : { LD_LIBRARY_PATH: libraries };
}

import type { App, RuntimeName } from '../model/app.js';
import type { Address, RuntimeIdentity } from '../model/instance.js';

/** The instance to boot. Ids are never reused. */
export interface InstanceSpec {
  readonly id: string;
  readonly app: App;
  readonly revision: string;
}

export type BootPhase = 'pull' | 'create' | 'start';

export interface BootOptions {
  /** Aborts the boot; the adapter then leaves nothing behind and rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Called after each phase with its length in milliseconds. */
  readonly onPhase: (phase: BootPhase, durationMs: number) => void;
}

/** A container of this product found in the runtime, running or not. */
export interface FoundInstance {
  readonly id: string;
  readonly app: string;
  readonly revision: string;
  readonly running: boolean;
  /** It runs, but is frozen. */
  readonly paused?: boolean;
  readonly address?: Address;
}

export interface Exit {
  readonly id: string;
  readonly app: string;
  /** The cause for the log: 'exit code 1', 'signal SIGKILL', 'out of memory'. */
  readonly cause: string;
  /** When it ended, in epoch milliseconds; absent: just now, or that is not known. */
  readonly endedAt?: number | undefined;
}

/** Times are epoch milliseconds, and absent if the runtime cannot tell. */
export type Inspection =
  | {
      readonly state: 'running';
      /** Whether its own process listens on its address; undefined if the runtime cannot tell. */
      readonly listening: boolean | undefined;
      readonly startedAt?: number | undefined;
    }
  | {
      readonly state: 'exited';
      readonly cause: string;
      readonly startedAt?: number | undefined;
      readonly endedAt?: number | undefined;
    }
  | { readonly state: 'gone' };

/**
 * Freezes instances: all processes of one stand still where they are, and go on from there. Its sockets stay open. Both calls may be
 * repeated, and take at most 5 s. `stop` ends a frozen instance like any other, and `inspect` says that it is running.
 */
export interface Suspender {
  /** Resolves when all of its processes stand still. Throws an Error that says why if they do not, or for an unknown id. */
  suspend(id: string): Promise<void>;

  /** Resolves when it runs, be it that it was never frozen. Throws an Error for an unknown id. */
  resume(id: string): Promise<void>;
}

/**
 * Runs containers, which outlive the dispatcher: they carry the cmdb name, app, instance id and revision, so that `list` finds them
 * after a restart. An adapter chooses their addresses, the one freed longest ago first, and none within 60 s. Failures throw an Error
 * that says what to do; an unknown id is no failure.
 */
export interface Runtime {
  readonly name: RuntimeName;

  /** Stored with each instance booted here, so that no node that cannot see it reports on it; undefined until it is known. */
  readonly identity?: RuntimeIdentity | undefined;

  /** Asks for `identity`, which is known once this resolves. Absent if it is known from the start. */
  learnIdentity?(): Promise<void>;

  /** Creates and starts a container; resolves to its address once it runs, ready or not. A failure leaves nothing behind. */
  boot(spec: InstanceSpec, options: BootOptions): Promise<Address>;

  /** Sends SIGTERM, SIGKILL after `graceMs`, and removes all traces. Resolves when it is gone; harmless for unknown ids. Re-entrant. */
  stop(id: string, graceMs: number): Promise<void>;

  inspect(id: string): Promise<Inspection>;

  /**
   * Names the socket on which the instance's own processes accept connections at its address; undefined if there is none. The same name
   * before and after connecting proves that the connection leads to the instance, and not to a program that took its free port. Absent
   * if nothing else can take an address of this runtime.
   */
  listener?(id: string): Promise<string | undefined>;

  /** All `address:port` on which the instance's own processes accept TCP connections; undefined if that cannot be told. */
  listensOn?(id: string): Promise<readonly string[] | undefined>;

  /** Lists all containers of this installation. */
  list(): Promise<FoundInstance[]>;

  /** Reports each exit once, including those of containers found after a restart. Returns the unsubscriber. */
  watch(onExit: (exit: Exit) => void): () => void;

  /** The end of the container's stdout and stderr, with control characters as `^X`; '' if nothing is known. Works until `stop`. */
  output(id: string, maxBytes: number): Promise<string>;

  /** Absent if the runtime cannot freeze instances. */
  readonly suspender?: Suspender;

  /** Releases all resources; the containers run on. Re-entrant. */
  close(): Promise<void>;
}

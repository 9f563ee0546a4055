import type { App, RuntimeName } from '../model/app.js';
import type { Address, RuntimeIdentity } from '../model/instance.js';

/** What to boot. The id is never reused. */
export interface InstanceSpec {
  readonly id: string;
  readonly app: App;
  readonly revision: string;
}

export type BootPhase = 'pull' | 'create' | 'start';

export interface BootOptions {
  /** Aborts the boot; the adapter then leaves nothing behind and rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Called when a phase has ended, with its length in milliseconds. */
  readonly onPhase: (phase: BootPhase, durationMs: number) => void;
}

/** A container of this product found in the runtime, dead ones included. */
export interface FoundInstance {
  readonly id: string;
  readonly app: string;
  readonly revision: string;
  readonly running: boolean;
  readonly address?: Address;
}

export interface Exit {
  readonly id: string;
  readonly app: string;
  /** Why, for the log: 'exit code 1', 'signal SIGKILL', 'out of memory'. */
  readonly cause: string;
}

export type Inspection =
  | {
      readonly state: 'running';
      /** Whether its own process listens on its address; undefined where the runtime cannot tell. */
      readonly listening: boolean | undefined;
    }
  | { readonly state: 'exited'; readonly cause: string }
  | { readonly state: 'gone' };

/**
 * What runs containers. An adapter chooses addresses itself: a freed one is reused oldest first and not within 60 s.
 * Containers carry the cmdb name, app, instance id and revision, so that `list` finds them after a restart,
 * and they outlive the dispatcher. Failures throw an Error whose message says what to do; a missing id is not a failure.
 */
export interface Runtime {
  readonly name: RuntimeName;

  /** Written into what is booted here, so that nobody speaks for it who cannot see it; undefined as long as it is not known. */
  readonly identity?: RuntimeIdentity | undefined;

  /** Asks for `identity` now, so that it is known if this resolves. Absent: it is known from the opening. */
  learnIdentity?(): Promise<void>;

  /** Creates and starts a container; resolves to its address once it runs, ready or not. On failure nothing is left. */
  boot(spec: InstanceSpec, options: BootOptions): Promise<Address>;

  /** SIGTERM, after `graceMs` SIGKILL, then removes all traces. Resolves when it is confirmed gone. Harmless twice and on unknown ids. */
  stop(id: string, graceMs: number): Promise<void>;

  inspect(id: string): Promise<Inspection>;

  /**
   * Names the socket on which the instance's own processes accept connections at its address; undefined if none of theirs
   * does. The same name before and after a connection was made proves that it leads to the instance, and not to a program that
   * took its port while it was free. Absent: nothing else can have an address of this runtime.
   */
  listener?(id: string): Promise<string | undefined>;

  /** Every `address:port` on which the instance's own processes accept TCP connections; undefined if that cannot be told. */
  listensOn?(id: string): Promise<readonly string[] | undefined>;

  /** Everything that carries this cmdb's name. */
  list(): Promise<FoundInstance[]>;

  /** Reports each exit of a running container once, also of those found after a restart. Returns the unsubscriber. */
  watch(onExit: (exit: Exit) => void): () => void;

  /** The end of what the container wrote to stdout and stderr, with control characters as `^X`; '' where nothing is known. Works until `stop`. */
  output(id: string, maxBytes: number): Promise<string>;

  /** Lets go of the containers, which run on. Re-entrant. */
  close(): Promise<void>;
}

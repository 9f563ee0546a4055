import type { Address } from '../../src/model/instance.js';
import type { InstanceSpec } from '../../src/runtime/runtime.js';
import type { Random } from './random.js';
import type { Timeline } from './timeline.js';

/** What becomes of one boot. */
export type BootPlan =
  | { readonly kind: 'good'; readonly createMs: number; readonly listenMs: number; readonly livesMs?: number }
  /** The engine refuses and leaves nothing. */
  | { readonly kind: 'refused'; readonly createMs: number }
  /** The engine does not answer and starts it all the same, after its caller gave up. */
  | { readonly kind: 'late'; readonly createMs: number };

export interface Container {
  readonly id: string;
  readonly app: string;
  readonly revision: string;
  readonly address: Address;
  readonly startedAt: number;
  readonly listensAt: number;
  running: boolean;
  frozen: boolean;
  cause: string;
  /** When the first `stop` was called. */
  stoppedAt: number | undefined;
  /** Requests under way; called when it ends under them. */
  readonly inflight: Map<object, (cause: string) => void>;
}

export interface ContainersOptions {
  readonly host: string;
  /** A freed address rests for this long; the runtime port asks for 60 s. */
  readonly addressRestMs: number;
  readonly timeline: Timeline;
  readonly random: Random;
  /** A container is about to end on purpose, with what is under way to it. */
  readonly onStop: (container: Container) => void;
  readonly onReused: (id: string) => void;
}

const ports = 60;

/** The containers of one machine. They know nothing of dispatchers and outlive them. */
export class Containers {
  readonly #options: ContainersOptions;
  readonly #byId = new Map<string, Container>();
  readonly #used = new Set<string>();
  readonly #freedAt = new Map<number, number>();
  /** Boots that the engine is still about to carry out. */
  pending = 0;
  readonly #listeners = new Set<(container: Container) => void>();

  constructor(options: ContainersOptions) {
    this.#options = options;
    for (let port = 1; port <= ports; port += 1) this.#freedAt.set(port, -Infinity);
  }

  /** Starts one; where the id was ever used before, that is told. */
  start({ id, app, revision }: InstanceSpec, listenMs: number, livesMs: number | undefined): Container {
    const { timeline, host } = this.#options;
    if (this.#used.has(id)) this.#options.onReused(id);
    this.#used.add(id);
    const container: Container = {
      id,
      app: app.name,
      revision,
      address: { host, port: this.#lease() },
      startedAt: timeline.now,
      listensAt: timeline.now + listenMs,
      running: true,
      frozen: false,
      cause: '',
      stoppedAt: undefined,
      inflight: new Map(),
    };
    this.#byId.set(id, container);
    if (livesMs !== undefined) timeline.after(livesMs, undefined, () => this.die(container, 'exit code 1'));
    return container;
  }

  get(id: string): Container | undefined {
    return this.#byId.get(id);
  }

  /** What listens at an address now. */
  at({ port }: Address): Container | undefined {
    const found = this.all().find((container) => container.running && container.address.port === port);
    return found && found.listensAt <= this.#options.timeline.now ? found : undefined;
  }

  all(): Container[] {
    return [...this.#byId.values()];
  }

  /** Ends by itself or is killed from outside. */
  die(container: Container, cause: string): void {
    if (!container.running) return;
    container.running = false;
    container.cause = cause;
    for (const end of container.inflight.values()) end(cause);
    container.inflight.clear();
    for (const listener of this.#listeners) listener(container);
  }

  /** All of them are dead when the machine is there again. */
  losePower(): void {
    for (const container of this.all()) this.die(container, 'signal SIGKILL');
  }

  /** Ends within the grace and is removed with all traces; then `done`. */
  stop(id: string, graceMs: number, done: () => void): void {
    const { timeline, random } = this.#options;
    const container = this.#byId.get(id);
    if (!container) return done();
    if (container.running) {
      container.stoppedAt ??= timeline.now;
      container.frozen = false;
      this.#options.onStop(container);
    }
    const endsIn = container.running ? random.between(0, graceMs) : 0;
    timeline.after(endsIn, undefined, () => {
      this.die(container, 'signal SIGTERM');
      this.remove(container);
      done();
    });
  }

  remove(container: Container): void {
    if (!this.#byId.delete(container.id)) return;
    this.#freedAt.set(container.address.port, this.#options.timeline.now);
  }

  onExit(listener: (container: Container) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The address that was freed first, if it has rested. */
  #lease(): number {
    const { timeline, addressRestMs } = this.#options;
    const [oldest] = [...this.#freedAt].toSorted(([, a], [, b]) => (addressRestMs > 0 ? a - b : b - a));
    if (!oldest || timeline.now - oldest[1] < addressRestMs) throw new Error('no address is free');
    this.#freedAt.delete(oldest[0]);
    return oldest[0];
  }
}

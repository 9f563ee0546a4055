import type { Address } from '../../src/model/instance.js';
import type {
  BootOptions,
  Exit,
  FoundInstance,
  Inspection,
  InstanceSpec,
  Runtime,
  Suspender,
} from '../../src/runtime/runtime.js';
import type { BootPlan, Container, Containers } from './containers.js';
import type { Random } from './random.js';
import type { SimProcess } from './sim-process.js';
import type { Timeline } from './timeline.js';

/** What goes wrong with the engine of one machine at the moment. */
export interface RuntimeFaults {
  /** It answers nothing but errors. */
  down: boolean;
  /** Each call takes up to this much longer. */
  slowMs: number;
  /** What becomes of the next boots, before chance decides. */
  readonly plans: BootPlan[];
  /** How likely a boot goes wrong otherwise. */
  badBoots: number;
}

export interface SimRuntimeOptions {
  /** Name of the engine that all nodes of its machine share. */
  readonly engine: string;
  readonly containers: Containers;
  readonly faults: RuntimeFaults;
  readonly process: SimProcess;
  readonly timeline: Timeline;
  readonly random: Random;
  /** Plants a bug: stop confirms at once and ends nothing. */
  readonly confirmsTooEarly: boolean;
}

interface Attempt {
  container: Container | undefined;
  abandoned: boolean;
}

/** The runtime port as one dispatcher process sees its machine's engine. */
export class SimRuntime implements Runtime {
  readonly name = 'process';
  readonly identity: { readonly id: string; readonly place: string };
  readonly #options: SimRuntimeOptions;
  readonly #booting = new Map<string, () => void>();
  readonly #unwatch: (() => void)[] = [];

  constructor(options: SimRuntimeOptions) {
    this.#options = options;
    const { engine } = options;
    this.identity = { id: engine, place: engine };
  }

  boot(spec: InstanceSpec, { signal, onPhase }: BootOptions): Promise<Address> {
    const { timeline, containers, process } = this.#options;
    const plan = this.#plan();
    return new Promise((resolve, reject) => {
      const attempt: Attempt = { container: undefined, abandoned: false };
      const abandon = () => {
        attempt.abandoned = true;
        if (attempt.container) this.#undo(attempt.container);
        if (plan.kind !== 'late')
          reject((signal.reason as Error | undefined) ?? new Error('it was stopped while it booted'));
      };
      signal.addEventListener('abort', abandon, { once: true });
      this.#booting.set(spec.id, abandon);
      const end = (run: () => void) => {
        signal.removeEventListener('abort', abandon);
        this.#booting.delete(spec.id);
        run();
      };
      const create = () => {
        if (this.#options.faults.down)
          return this.#reply(() => end(() => reject(new Error('the engine does not answer'))));
        // Whoever asked is gone or has given up: the engine that is late does it all the same.
        if (attempt.abandoned && plan.kind !== 'late') return;
        if (plan.kind === 'refused') return this.#reply(() => end(() => reject(new Error('no such image'))));
        const { listenMs, livesMs } = plan.kind === 'good' ? plan : { listenMs: 50, livesMs: undefined };
        try {
          attempt.container = containers.start(spec, listenMs, livesMs);
        } catch (error) {
          return this.#reply(() => end(() => reject(error as Error)));
        }
        const { address } = attempt.container;
        if (plan.kind === 'late') return;
        this.#reply(() =>
          end(() => {
            onPhase('create', 1);
            onPhase('start', plan.createMs);
            resolve(address);
          }),
        );
      };
      // The engine goes on when the dispatcher dies; a frozen one changes nothing for it either.
      containers.pending += 1;
      timeline.after(1 + plan.createMs + this.#slow(), undefined, () => {
        containers.pending -= 1;
        if (process.state === 'dead' && this.#options.random.chance(0.5)) return;
        create();
      });
    });
  }

  stop(id: string, graceMs: number): Promise<void> {
    const { containers, confirmsTooEarly } = this.#options;
    this.#booting.get(id)?.();
    return this.#call((resolve) => (confirmsTooEarly ? resolve() : containers.stop(id, graceMs, resolve)));
  }

  inspect(id: string): Promise<Inspection> {
    const { containers, timeline } = this.#options;
    return this.#call((resolve) => {
      const container = containers.get(id);
      if (!container) resolve({ state: 'gone' });
      else if (!container.running) resolve({ state: 'exited', cause: container.cause });
      else resolve({ state: 'running', listening: container.listensAt <= timeline.now });
    });
  }

  list(): Promise<FoundInstance[]> {
    return this.#call((resolve) => {
      resolve(
        this.#options.containers.all().map(({ id, app, revision, running, frozen: paused, address }) => ({
          ...{ id, app, revision, running, paused, address },
        })),
      );
    });
  }

  readonly suspender: Suspender = {
    suspend: (id) => this.#freeze(id, true),
    resume: (id) => this.#freeze(id, false),
  };

  async #freeze(id: string, frozen: boolean): Promise<void> {
    const isThere = await this.#call<boolean>((resolve) => {
      const container = this.#options.containers.get(id);
      if (container?.running) container.frozen = frozen;
      resolve(container?.running === true);
    });
    if (!isThere) throw new Error(`there is no instance ${id}`);
  }

  watch(onExit: (exit: Exit) => void): () => void {
    const { containers, process, timeline, random } = this.#options;
    const report = ({ id, app, cause }: Container) => {
      timeline.after(random.between(0, 20), process, () => onExit({ id, app, cause }));
    };
    const unwatch = containers.onExit(report);
    this.#unwatch.push(unwatch);
    return unwatch;
  }

  async output(): Promise<string> {
    return '';
  }

  async close(): Promise<void> {
    for (const unwatch of this.#unwatch) unwatch();
  }

  /** A boot that was given up leaves nothing behind. */
  #undo(container: Container): void {
    const { containers, timeline } = this.#options;
    timeline.after(1, undefined, () => {
      containers.die(container, 'signal SIGKILL');
      containers.remove(container);
    });
  }

  #call<T>(operation: (resolve: (value: T) => void) => void): Promise<T> {
    const { timeline, faults, random } = this.#options;
    return new Promise((resolve, reject) => {
      timeline.after(random.between(0, 2) + this.#slow(), undefined, () => {
        if (faults.down) this.#reply(() => reject(new Error('the engine does not answer')));
        else operation((value) => this.#reply(() => resolve(value)));
      });
    });
  }

  #reply(run: () => void): void {
    const { timeline, process, random } = this.#options;
    timeline.after(random.between(0, 1), process, run);
  }

  #slow(): number {
    const { random, faults } = this.#options;
    return faults.slowMs > 0 ? random.between(0, faults.slowMs) : 0;
  }

  #plan(): BootPlan {
    const { faults, random } = this.#options;
    const planned = faults.plans.shift();
    if (planned) return planned;
    const createMs = random.between(1, 400);
    const listenMs = random.between(0, 600);
    if (!random.chance(faults.badBoots)) return { kind: 'good', createMs, listenMs };
    return random.pick<BootPlan>([
      { kind: 'refused', createMs },
      { kind: 'late', createMs: random.between(5_000, 20_000) },
      { kind: 'good', createMs, listenMs: 60_000 },
      { kind: 'good', createMs: random.between(1_000, 8_000), listenMs },
      { kind: 'good', createMs, listenMs, livesMs: random.between(0, listenMs) },
      { kind: 'good', createMs, listenMs, livesMs: listenMs + random.between(0, 5_000) },
    ]);
  }
}

import type { Logger } from 'pino';
import type { Session } from '../../src/cmdb/cmdb.js';
import { emptyDeployment } from '../../src/model/deployment.js';
import { Apps, domainOf, nameOf } from './apps.js';
import { type Container, Containers } from './containers.js';
import { Judge } from './judge.js';
import type { Link, StoreFaults } from './link.js';
import { ModelForwarder } from './model-forwarder.js';
import { ModelRequest } from './model-request.js';
import { Random } from './random.js';
import type { Script } from './script.js';
import type { SimCmdb } from './sim-cmdb.js';
import { SimNode } from './sim-node.js';
import { SimProcess } from './sim-process.js';
import { type RuntimeFaults, SimRuntime } from './sim-runtime.js';
import { Store } from './store.js';
import { Timeline } from './timeline.js';

/** Bugs that the simulator must be able to find. */
export interface Plant {
  readonly passesOldWrites?: boolean;
  readonly confirmsTooEarly?: boolean;
  readonly addressRestMs?: number;
  readonly disguise?: (cmdb: SimCmdb) => SimCmdb;
  readonly prepare?: (node: SimNode) => void;
}

export interface WorldOptions {
  readonly script: Script;
  readonly plant: Plant;
  /** Told what happens, line by line; for reading a failed history. */
  readonly trace: ((line: string) => void) | undefined;
}

interface Place {
  readonly host: string;
  readonly bootSlots: number;
  wallErrorMs: number;
  closing: boolean;
  /** It is to start again as soon as it has closed. */
  again: boolean;
  life: { readonly node: SimNode; readonly process: SimProcess; readonly forwarder: ModelForwarder } | undefined;
}

/** How long a node that closes lets its requests finish. */
const drainMs = 3_000;

/** Shorter than the product's, so that histories reach beyond it. */
export const outageGraceMs = 30_000;

/** Everything there is: true time, one store, machines with containers, nodes, and the clients' requests. */
export class World {
  readonly timeline: Timeline;
  readonly store: Store;
  readonly apps: Apps;
  readonly judge: Judge;
  readonly storeFaults: StoreFaults = { down: false, frozen: false, slowMs: 0, lossy: 0 };
  readonly engines = new Map<string, { readonly containers: Containers; readonly faults: RuntimeFaults }>();
  readonly places: Place[];
  readonly requests: ModelRequest[] = [];
  /** Cut off from the store; what is under way there arrives late, also that of processes which died meanwhile. */
  readonly partitioned = new Set<Link>();
  readonly random: Random;
  readonly #options: WorldOptions;
  readonly #alive = new Map<number, SimProcess>();
  #pids = 0;

  constructor(options: WorldOptions) {
    const { script, plant } = options;
    this.#options = options;
    this.random = new Random(script.seed);
    this.timeline = new Timeline(this.random.fork('order'));
    const now = () => this.timeline.now;
    this.apps = new Apps(script.apps, now);
    this.judge = new Judge({
      now,
      apps: this.apps,
      outageGraceMs,
      clockErrorMs: () => Math.max(...this.places.map(({ wallErrorMs }) => Math.abs(wallErrorMs))) * 2,
      deployment: (app) => this.store.record(app)?.deployment ?? emptyDeployment(app),
      trace: (line) => this.trace(line),
    });
    this.store = new Store(this.timeline, this.random.fork('store'), (app, before, after) => {
      this.trace(`store: ${after.app} ${describe(after)}`);
      this.judge.wrote(app, before, after);
    });
    this.store.passesOldWrites = plant.passesOldWrites ?? false;
    this.places = script.nodes.map((plan) => ({ ...plan, closing: false, again: false, life: undefined }));
    for (const host of new Set(script.nodes.map(({ host }) => host))) this.#buildEngine(host);
  }

  trace(line: string): void {
    this.#options.trace?.(`${String(this.timeline.now).padStart(7)} ${line}`);
  }

  /** Starts a node where none runs. */
  start(index: number): void {
    const place = this.places[index];
    if (!place) return;
    if (place.life) {
      place.again = place.closing;
      return;
    }
    const process = new SimProcess(this.timeline, (this.#pids += 1), place.wallErrorMs);
    this.#alive.set(process.pid, process);
    const random = this.random.fork(`life ${process.pid}`);
    const engine = this.engines.get(place.host) as { containers: Containers; faults: RuntimeFaults };
    const forwarder = new ModelForwarder({
      timeline: this.timeline,
      process,
      random: random.fork('traffic'),
      send: (request, exchange) => {
        const container = this.engines.get(exchange.seat.address.host)?.containers.at(exchange.seat.address);
        this.trace(`${request.plan.id} sent by node ${index} to ${exchange.seat.instanceId}`);
        this.judge.sent(process, request, exchange, container);
        return container;
      },
    });
    const node = new SimNode({
      timeline: this.timeline,
      store: this.store,
      faults: this.storeFaults,
      process,
      random,
      runtime: new SimRuntime({
        ...engine,
        engine: `engine of ${place.host}`,
        process,
        timeline: this.timeline,
        random: random.fork('engine'),
        confirmsTooEarly: this.#options.plant.confirmsTooEarly ?? false,
      }),
      forwarder,
      probe: async ({ address }) => this.engines.get(address.host)?.containers.at(address) !== undefined,
      isProvedDead: (session) => this.#isProvedDead(session, place.host),
      logger: this.#logger(index),
      host: place.host,
      bootSlots: place.bootSlots,
      outageGraceMs,
      files: () => this.apps.files,
      disguise: (cmdb) => this.#watchBeats(this.#options.plant.disguise?.(cmdb) ?? cmdb, process),
    });
    this.#options.plant.prepare?.(node);
    place.life = { node, process, forwarder };
    this.trace(`node ${index} starts as process ${process.pid}`);
    void node.start();
  }

  kill(index: number): void {
    const life = this.places[index]?.life;
    if (!life) return;
    this.trace(`node ${index} is killed`);
    this.#forget(index);
    life.process.kill();
    for (const request of this.requests) {
      if (request.plan.node === String(index) && request.endings.length === 0) request.end(0, 'node killed');
    }
    for (const request of life.forwarder.underWay) {
      for (const { containers } of this.engines.values()) {
        for (const container of containers.all()) container.inflight.delete(request);
      }
    }
  }

  close(index: number): void {
    const life = this.places[index]?.life;
    if (!life) return;
    this.trace(`node ${index} closes`);
    (this.places[index] as Place).closing = true;
    life.node.accepts = false;
    void this.#drained(index, life.process)
      .then(() => life.node.close())
      .finally(() => {
        this.trace(`node ${index} has closed`);
        if (this.places[index]?.life === life) this.#forget(index);
      });
  }

  /** The files changed: every node applies them. */
  reload(): void {
    for (const { node } of this.lives) void node.applyFiles();
  }

  /** The listeners take nothing new and wait for what they have, but not for long. */
  #drained(index: number, process: SimProcess): Promise<void> {
    const end = this.timeline.now + drainMs;
    const open = () => this.requests.filter(({ plan, endings }) => plan.node === String(index) && endings.length === 0);
    return new Promise((resolve) => {
      const look = () => {
        if (open().length > 0 && this.timeline.now < end) {
          process.clock.after(100, look);
          return;
        }
        for (const request of open()) request.abort();
        resolve();
      };
      look();
    });
  }

  /** Sends a request to a node; refused where none runs there. */
  send(node: number, app: number, kind: 'http' | 'upgrade', holdMs: number, patienceMs?: number): ModelRequest {
    const { timeline } = this;
    const id = `r${this.requests.length}`;
    const plan = {
      ...{ id, kind, holdMs },
      app: nameOf(app),
      domain: domainOf(app),
      node: String(node),
      sentAt: timeline.now,
    };
    const request = new ModelRequest(plan, () => timeline.now);
    this.requests.push(request);
    const life = this.places[node]?.life;
    this.trace(`${id} for ${plan.app} arrives at node ${node}`);
    if (!life || !life.node.accepts) request.end(0, 'connection refused');
    else {
      // In the event loop of the node: one that is frozen accepts it when it thaws.
      timeline.after(0, life.process, () => {
        if (request.destroyed) return;
        const { dispatcher } = life.node.house;
        if (kind === 'http') dispatcher.handle(request.req, request.stream);
        else dispatcher.upgrade(request.req, request.stream as never);
      });
    }
    if (patienceMs !== undefined && life) timeline.after(patienceMs, life.process, () => request.abort());
    return request;
  }

  /** The largest set of nodes that run. */
  get lives(): { readonly node: SimNode; readonly process: SimProcess; readonly forwarder: ModelForwarder }[] {
    return this.places.flatMap(({ life }) => (life ? [life] : []));
  }

  get containers(): Container[] {
    return [...this.engines.values()].flatMap(({ containers }) => containers.all());
  }

  #forget(index: number): void {
    const place = this.places[index];
    if (!place?.life) return;
    this.#alive.delete(place.life.process.pid);
    place.life = undefined;
    const { again } = place;
    place.closing = false;
    place.again = false;
    if (again) this.start(index);
  }

  #isProvedDead(session: Session, host: string): boolean {
    return session.host === host && !this.#alive.has(session.process.pid);
  }

  #watchBeats(cmdb: SimCmdb, process: SimProcess): SimCmdb {
    const beat = cmdb.beat.bind(cmdb);
    this.judge.beat(process.pid);
    cmdb.beat = async (session, revoke) => {
      const answer = await beat(session, revoke);
      this.judge.beat(process.pid);
      return answer;
    };
    return cmdb;
  }

  #buildEngine(host: string): void {
    const containers = new Containers({
      host,
      addressRestMs: this.#options.plant.addressRestMs ?? 60_000,
      timeline: this.timeline,
      random: this.random.fork(`engine ${host}`),
      onStop: (container) => {
        this.trace(`${container.id} is stopped`);
        this.judge.stopped(container);
      },
      onReused: (id) => this.judge.note('G7', `the id ${id} was used twice`),
    });
    containers.onExit(({ id, cause }) => this.trace(`${id} ended: ${cause}`));
    this.engines.set(host, { containers, faults: { down: false, slowMs: 0, plans: [], badBoots: 0 } });
  }

  #logger(index: number): Logger {
    if (!this.#options.trace) return silentLogger;
    const line = (level: string) => (fields: object, text?: string) => {
      const { err, ...rest } = fields as { err?: Error & { cause?: unknown } };
      const problem = err ? ` (${err.message}: ${String(err.cause ?? '')})` : '';
      const words = typeof fields === 'string' ? fields : `${text ?? ''} ${JSON.stringify(rest)}`;
      this.trace(`node ${index} ${level}: ${words}${problem}`);
    };
    const levels = ['debug', 'info', 'warn', 'error'].map((level) => [level, line(level)]);
    return Object.fromEntries(levels) as unknown as Logger;
  }
}

const nothing = () => {};
const silentLogger = { debug: nothing, info: nothing, warn: nothing, error: nothing } as unknown as Logger;

function describe({
  instances,
  breaker,
}: {
  instances: readonly { id: string; state: string; users: object }[];
  breaker?: object;
}): string {
  const list = instances.map(
    ({ id, state, users }) =>
      `${id.slice(-4)}:${state}[${Object.keys(users)
        .map((user) => user.slice(0, 4))
        .join()}]`,
  );
  return `${list.join(' ') || 'empty'}${breaker ? ' breaker' : ''}`;
}

import type { HttpExchange, UpgradeExchange } from '../../src/forward/exchange.js';
import type { App } from '../../src/model/app.js';
import { type Deployment, findInstance } from '../../src/model/deployment.js';
import type { Apps } from './apps.js';
import type { Container } from './containers.js';
import { judgeWrite, type Violation } from './guarantees.js';
import type { ModelRequest } from './model-request.js';
import type { SimProcess } from './sim-process.js';

/** How long after the store lost acknowledged writes G1–G3 may be broken: until nodes judge, and two passes have seen it. */
const healingMs = 70_000;

export interface JudgeOptions {
  readonly now: () => number;
  readonly apps: Apps;
  readonly outageGraceMs: number;
  readonly clockErrorMs: () => number;
  /** The store's own truth. */
  readonly deployment: (app: string) => Deployment;
  readonly trace: (line: string) => void;
}

interface Presence {
  beatAt: number;
  /** When it was last cut off from the store, or the store from everyone. */
  cutOffAt: number;
}

/** Watches every write, request and stop, and notes what breaks a guarantee. */
export class Judge {
  readonly violations: Violation[] = [];
  readonly #options: JudgeOptions;
  readonly #presence = new Map<number, Presence>();
  /** Containers that were stopped on purpose, and when. */
  readonly #stopped = new Map<string, number>();
  readonly #owners = new Map<ModelRequest, SimProcess>();
  #lostWritesAt = -Infinity;
  boots = 0;

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  note(guarantee: Violation['guarantee'], what: string): void {
    this.violations.push({ guarantee, at: this.#options.now(), what });
    this.#options.trace(`VIOLATION ${guarantee}: ${what}`);
  }

  storeLostWrites(): void {
    this.#lostWritesAt = this.#options.now();
  }

  beat(pid: number): void {
    this.#of(pid).beatAt = this.#options.now();
  }

  cutOff(pid: number): void {
    this.#of(pid).cutOffAt = this.#options.now();
  }

  wrote(app: App | undefined, before: Deployment, after: Deployment): void {
    const { now, apps, clockErrorMs } = this.#options;
    const context = {
      now: now(),
      scaleMax: apps.scaleMax(after.app),
      clockErrorMs: clockErrorMs(),
      isHealing: this.#isHealing,
    };
    for (const { guarantee, what } of judgeWrite(app, before, after, context)) this.note(guarantee, what);
  }

  /** A request is sent this very moment to `container`, which listens at the address of its seat. */
  sent(
    process: SimProcess,
    request: ModelRequest,
    exchange: HttpExchange | UpgradeExchange,
    container: Container | undefined,
  ): void {
    const { seat } = exchange;
    const { plan } = request;
    this.#owners.set(request, process);
    if (container && container.app !== plan.app) {
      this.note('G8', `request ${plan.id} for ${plan.app} reached ${container.id} of ${container.app}`);
    }
    if (this.#isHealing || this.#wasGivenUp(process)) return;
    if (container?.frozen) this.note('pause', `request ${plan.id} was sent to ${container.id}, which is frozen`);
    const instance = findInstance(this.#options.deployment(plan.app), seat.instanceId);
    const stoppedAt = this.#stopped.get(seat.instanceId);
    if (stoppedAt !== undefined) {
      this.note('G2', `request ${plan.id} was sent to ${seat.instanceId}, which was stopped at ${stoppedAt}`);
    } else if (instance?.state === 'terminating') {
      this.note('G2', `request ${plan.id} was sent to ${seat.instanceId}, whose doom is written`);
    }
  }

  /** A running container is ended on purpose. */
  stopped(container: Container): void {
    this.#stopped.set(container.id, this.#options.now());
    if (this.#isHealing) return;
    for (const key of container.inflight.keys()) {
      const request = key as ModelRequest;
      const owner = this.#owners.get(request);
      if (owner && owner.state !== 'dead' && !this.#isLapsed(owner)) {
        this.note('G2', `${container.id} was stopped under request ${request.plan.id}`);
      }
    }
  }

  get #isHealing(): boolean {
    return this.#options.now() - this.#lostWritesAt < healingMs;
  }

  /** Its session had stood still for so long that others may have dropped its uses. */
  #isLapsed(process: SimProcess): boolean {
    const { beatAt } = this.#of(process.pid);
    return this.#options.now() - beatAt > this.#options.outageGraceMs - 1_000;
  }

  /** The design lets a node that cannot reach the store go on; one that was merely frozen has to look before it sends. */
  #wasGivenUp(process: SimProcess): boolean {
    const { beatAt, cutOffAt } = this.#of(process.pid);
    return this.#isLapsed(process) && cutOffAt >= beatAt;
  }

  #of(pid: number): Presence {
    const known = this.#presence.get(pid) ?? { beatAt: this.#options.now(), cutOffAt: -Infinity };
    this.#presence.set(pid, known);
    return known;
  }
}

import type { HttpExchange, UpgradeExchange } from '../../src/forward/exchange.js';
import type { ForwardRoom } from '../../src/daemon/house.js';
import { RequestError } from '../../src/model/errors.js';
import type { Container } from './containers.js';
import { modelOf, type ModelRequest } from './model-request.js';
import type { Random } from './random.js';
import type { SimProcess } from './sim-process.js';
import type { Timeline } from './timeline.js';

export interface ModelForwarderOptions {
  readonly timeline: Timeline;
  readonly process: SimProcess;
  readonly random: Random;
  /** What listens where a request is sent; told each time, and there it is judged. */
  readonly send: (request: ModelRequest, exchange: HttpExchange | UpgradeExchange) => Container | undefined;
}

const touchEveryMs = 2_000;

/** The forward room: a request reaches its container in the moment in which it is sent, and holds it for a while. */
export class ModelForwarder implements ForwardRoom {
  readonly #options: ModelForwarderOptions;
  /** Requests of this process that are under way to a container. */
  readonly underWay = new Set<ModelRequest>();

  constructor(options: ModelForwarderOptions) {
    this.#options = options;
  }

  http(exchange: HttpExchange): void {
    this.#carry(exchange, modelOf(exchange.res));
  }

  upgrade(exchange: UpgradeExchange): void {
    exchange.seat.countOnlyTraffic();
    this.#carry(exchange, modelOf(exchange.socket));
  }

  endInstance(): void {}

  async close(): Promise<void> {}

  #carry(exchange: HttpExchange | UpgradeExchange, request: ModelRequest): void {
    const { seat } = exchange;
    if (request.destroyed) {
      seat.release();
      return exchange.onFinished(499, 'client_gone');
    }
    const container = this.#options.send(request, exchange);
    if (!container || !this.#accepts(container)) return this.#fail(exchange, 'upstream_unreachable', true);
    const { timeline, process } = this.#options;
    request.instance = container.id;
    this.underWay.add(request);
    let over = false;
    const finish = (run: () => void) => {
      if (over) return;
      over = true;
      done.cancelled = true;
      container.inflight.delete(request);
      request.onGone = undefined;
      this.underWay.delete(request);
      seat.release();
      run();
    };
    const done = timeline.after(request.plan.holdMs, process, () =>
      finish(() => {
        request.end(200, '');
        exchange.onFinished(200, 'complete');
      }),
    );
    container.inflight.set(request, (cause) => {
      timeline.after(1, process, () =>
        finish(() => {
          request.end(502, `lost: ${cause}`);
          exchange.onFinished(502, 'upstream_gone');
        }),
      );
    });
    request.onGone = () => finish(() => exchange.onFinished(499, 'client_gone'));
    seat.occupant = {
      cut: (reason) =>
        finish(() => {
          request.end(502, `cut: ${reason}`);
          exchange.onFinished(502, 'upstream_gone');
        }),
    };
    if (request.plan.kind === 'upgrade') this.#touch(exchange, () => over);
  }

  #touch({ seat }: HttpExchange | UpgradeExchange, isOver: () => boolean): void {
    const { timeline, process, random } = this.#options;
    timeline.after(random.between(1, 4) * touchEveryMs, process, () => {
      if (isOver()) return;
      if (random.chance(0.5)) seat.touch();
      this.#touch({ seat } as HttpExchange, isOver);
    });
  }

  #accepts(container: Container): boolean {
    return container.running && container.stoppedAt === undefined;
  }

  #fail(exchange: HttpExchange | UpgradeExchange, code: 'upstream_unreachable', replayable: boolean): void {
    const { timeline, process } = this.#options;
    timeline.after(1, process, () => {
      exchange.seat.release();
      exchange.onFailed(new RequestError(code), replayable);
    });
  }
}

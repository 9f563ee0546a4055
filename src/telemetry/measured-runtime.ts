import type { Clock } from '../model/clock.js';
import type { Runtime, Suspender } from '../runtime/runtime.js';
import { measure } from './measure.js';
import type { Metrics } from './metrics.js';

type Timed = <T>(operation: string, run: () => Promise<T>) => Promise<T>;

/** A runtime that times its operations into the metrics. */
export function measuredRuntime(runtime: Runtime, metrics: Metrics, clock: Clock): Runtime {
  const timed: Timed = (operation, run) =>
    measure(clock, run, (result, ms) => metrics.runtime(runtime.name, operation, result, ms));
  return {
    name: runtime.name,
    get identity() {
      return runtime.identity;
    },
    boot: (spec, options) => timed('boot', () => runtime.boot(spec, options)),
    stop: (id, graceMs) => timed('stop', () => runtime.stop(id, graceMs)),
    ...(runtime.listener ? { listener: runtime.listener.bind(runtime) } : {}),
    ...(runtime.listensOn ? { listensOn: runtime.listensOn.bind(runtime) } : {}),
    inspect: (id) => timed('inspect', () => runtime.inspect(id)),
    list: () => timed('list', () => runtime.list()),
    watch: (onExit) => runtime.watch(onExit),
    output: (id, maxBytes) => timed('output', () => runtime.output(id, maxBytes)),
    ...(runtime.suspender ? { suspender: measuredSuspender(runtime.suspender, timed) } : {}),
    close: () => runtime.close(),
  };
}

function measuredSuspender(suspender: Suspender, timed: Timed): Suspender {
  return {
    suspend: (id) => timed('suspend', () => suspender.suspend(id)),
    resume: (id) => timed('resume', () => suspender.resume(id)),
  };
}

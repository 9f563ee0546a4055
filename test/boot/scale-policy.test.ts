import fc from 'fast-check';
import t from 'tap';
import { standing } from '../../src/model/deployment.js';
import { testApp } from '../fixtures/app.js';
import { ScaleModel, tickMs } from '../fixtures/scale-model.js';

interface Segment {
  readonly shape: 'burst' | 'ramp' | 'sine' | 'steady';
  readonly level: number;
  readonly ticks: number;
}

const level = fc.integer({ min: 0, max: 40 });
const segment: fc.Arbitrary<Segment> = fc.record({
  shape: fc.constantFrom('burst', 'ramp', 'sine', 'steady'),
  level,
  ticks: fc.integer({ min: 5, max: 60 }),
});
const setting = fc.record({
  scaleMax: fc.integer({ min: 1, max: 5 }),
  target: fc.integer({ min: 1, max: 12 }),
  spare: fc.integer({ min: 0, max: 12 }),
  idleTicks: fc.integer({ min: 4, max: 30 }),
  bootTicks: fc.integer({ min: 1, max: 15 }),
  segments: fc.array(segment, { minLength: 1, maxLength: 8 }),
});

/** Requests under way or waiting, tick by tick. */
function loadOf(segments: readonly Segment[]): number[] {
  let from = 0;
  return segments.flatMap(({ shape, level: to, ticks }) => {
    const start = from;
    from = shape === 'steady' || shape === 'ramp' ? to : start;
    return Array.from({ length: ticks }, (_, tick) => {
      const part = tick / ticks;
      if (shape === 'steady') return to;
      if (shape === 'ramp') return Math.round(start + (to - start) * part);
      if (shape === 'burst') return tick % 20 < 3 ? to : start;
      return Math.round((to / 2) * (1 - Math.cos(4 * Math.PI * part)));
    });
  });
}

function appOf({ scaleMax, target, spare, idleTicks }: Pick<Setting, 'scaleMax' | 'target' | 'spare' | 'idleTicks'>) {
  return testApp({
    scale: { min: 0, max: scaleMax },
    concurrency: { target, max: target + spare, clientShare: 0.75 },
    idleTtlMs: idleTicks * tickMs,
  });
}

type Setting = typeof setting extends fc.Arbitrary<infer Value> ? Value : never;

/** Instances that a load needs. */
const needOf = (load: number, { target, scaleMax }: Setting) => Math.min(scaleMax, Math.ceil(load / target));

function peak(loads: readonly number[], from: number, to: number): number {
  return Math.max(0, ...loads.slice(Math.max(0, from), to + 1));
}

const check = (run: (given: Setting, loads: number[]) => void, numRuns = 200) =>
  fc.assert(
    fc.property(setting, (given) => run(given, loadOf(given.segments))),
    { numRuns },
  );

t.test('whatever the load does, instances are never more than scale.max nor than its peak needs', async () => {
  for (const requestTicks of [1, 25]) {
    check((given, loads) => {
      const model = new ScaleModel(appOf(given), given.bootTicks, requestTicks);
      for (const [tick, load] of loads.entries()) {
        model.step(load);
        const count = standing(model.deployment).length;
        const most = needOf(peak(loads, 0, tick), given);
        if (count > most) throw new Error(`${count} instances at tick ${tick}, where the peak needs ${most}`);
      }
    });
  }
});

t.test('instances follow the load up within a boot, and down to what it needs within the idle TTL', async () => {
  check((given, loads) => {
    const model = new ScaleModel(appOf(given), given.bootTicks, 1);
    const steadyTicks = given.bootTicks + 2 * given.idleTicks + 5;
    const last = loads.at(-1) ?? 0;
    for (const load of [...loads, ...Array.from({ length: steadyTicks }, () => last)]) model.step(load);
    const ready = model.deployment.instances.filter(({ state }) => state === 'ready').length;
    if (ready !== needOf(last, given)) throw new Error(`${ready} for a load of ${last}`);
    const capacity = ready * (given.target + given.spare);
    if (model.waiting !== Math.max(0, last - capacity)) throw new Error(`${model.waiting} wait for no reason`);
  });
});

t.test(
  'no flapping: an instance is booted only where the load needs more than it did within the last idle TTL',
  async () => {
    check((given, loads) => {
      const model = new ScaleModel(appOf(given), given.bootTicks, 1);
      for (const load of loads) model.step(load);
      let explained = 0;
      let before = 0;
      for (const tick of loads.keys()) {
        const kept = needOf(peak(loads, tick - given.idleTicks + 2, tick), given);
        explained += Math.max(0, kept - before);
        before = kept;
      }
      if (model.boots > explained) throw new Error(`${model.boots} boots, of which ${explained} are explained`);
    });
  },
);

t.test('an instance ends unused only where the load had fallen before it was ready', async () => {
  check((given, loads) => {
    const model = new ScaleModel(appOf(given), given.bootTicks, 1);
    let falls = 0;
    let before = 0;
    for (const load of loads) {
      model.step(load);
      const need = needOf(load, given);
      falls += Math.max(0, before - need);
      before = need;
    }
    const booting = model.deployment.instances.filter(({ state }) => state === 'booting').length;
    const unused = model.boots - booting - model.used.size;
    if (unused > falls) throw new Error(`${unused} were never used, and the need fell by ${falls} in all`);
  });
});

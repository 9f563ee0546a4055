import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import t from 'tap';
import { MergedMetrics } from '../../src/telemetry/merged-metrics.js';

function process() {
  const registers = [new Registry()];
  return {
    registry: registers[0] as Registry,
    requests: new Counter({ name: 'requests', help: 'h', labelNames: ['app'], registers }),
    waiting: new Gauge({ name: 'waiting', help: 'h', registers }),
    seconds: new Histogram({ name: 'seconds', help: 'h', buckets: [1], registers }),
  };
}

t.test('counters, gauges and histograms are summed up', async (t) => {
  const [own, one, two] = [process(), process(), process()];
  for (const { requests, waiting, seconds } of [one, two]) {
    requests.inc({ app: 'a' }, 3);
    waiting.set(2);
    seconds.observe(0.5);
  }
  const merged = new MergedMetrics(own.registry);
  const text = await merged.text(
    new Map([
      [1, await one.registry.getMetricsAsJSON()],
      [2, await two.registry.getMetricsAsJSON()],
    ]),
  );
  t.match(text, 'requests{app="a"} 6');
  t.match(text, 'waiting 4');
  t.match(text, 'seconds_bucket{le="1"} 2');
  t.match(text, 'seconds_count 2');
});

t.test('no sum falls when a process does not answer or ends; what is true of the moment goes', async (t) => {
  const [own, one] = [process(), process()];
  one.requests.inc({ app: 'a' }, 3);
  one.waiting.set(2);
  const merged = new MergedMetrics(own.registry);
  await merged.text(new Map([[1, await one.registry.getMetricsAsJSON()]]));
  const silent = await merged.text(new Map([[1, undefined]]));
  t.match(silent, 'requests{app="a"} 3');
  t.match(silent, 'waiting 0');
  await merged.ended(1);
  const replacement = process();
  replacement.requests.inc({ app: 'a' });
  const after = await merged.text(new Map([[1, await replacement.registry.getMetricsAsJSON()]]));
  t.match(after, 'requests{app="a"} 4');
  await merged.ended(1);
  t.match(await merged.text(new Map()), 'requests{app="a"} 4', 'however often');
});

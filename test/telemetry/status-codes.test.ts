import t from 'tap';
import { Metrics } from '../../src/telemetry/metrics.js';

const seriesOf = async (metrics: Metrics, name: string) =>
  (await metrics.registry.metrics()).split('\n').filter((line) => line.startsWith(`${name}{`));

t.test('an app that makes up status codes cannot grow the memory: those are counted by their class', async (t) => {
  const metrics = new Metrics();
  for (let code = 200; code <= 999; code += 1) metrics.request('shop', code, 'warm', 1, 'complete');
  const series = await seriesOf(metrics, 'fastcontainer_requests_total');
  t.ok(series.length < 80, `${series.length} series`);
  t.ok(series.find((line) => line.includes('code="404"') && line.endsWith(' 1')));
  t.ok(series.find((line) => line.includes('code="499"') && line.endsWith(' 1')));
  t.ok(series.find((line) => line.includes('code="9xx"') && line.endsWith(' 100')));
});

t.test('apps whose requests only wait are bounded in the metrics as well', async (t) => {
  const metrics = new Metrics({ maxApps: 10 });
  for (let index = 0; index < 1_000; index += 1) metrics.queueChanged(`app${index}`, 1);
  t.equal((await seriesOf(metrics, 'fastcontainer_queue_length')).length, 11);
});

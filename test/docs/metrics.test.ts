import { readFile } from 'node:fs/promises';
import t from 'tap';
import { Metrics } from '../../src/telemetry/metrics.js';
import { WorkerMetrics } from '../../src/telemetry/worker-metrics.js';

t.test('docs/metrics.md names every metric with its type and labels', async (t) => {
  const text = await readFile('docs/metrics.md', 'utf8');
  const written = [...text.matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]+) \|/gm)].map(([, name, type, labels = '']) => ({
    name,
    type,
    labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label).toSorted(),
  }));
  const { registry } = new Metrics();
  t.ok(new WorkerMetrics(registry));
  const registered = registry
    .getMetricsAsArray()
    .filter(({ name }) => name.startsWith('fastcontainer_'))
    .map((metric) => {
      const { name, type, labelNames } = metric as unknown as { name: string; type: string; labelNames: string[] };
      return { name, type, labels: labelNames.toSorted() };
    });
  const byName = (a: { name?: string | undefined }, b: { name?: string | undefined }) =>
    String(a.name) < String(b.name) ? -1 : 1;
  t.same(written.toSorted(byName), registered.toSorted(byName));
});

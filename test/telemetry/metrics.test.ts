import t from 'tap';
import { Metrics } from '../../src/telemetry/metrics.js';

t.test('requests are counted by app, code, temperature and outcome', async (t) => {
  const metrics = new Metrics();
  metrics.request('shop', 200, 'warm', 5, 'complete');
  metrics.request('shop', 200, 'warm', 5, 'complete');
  metrics.request('shop', 503, 'cold', 5, 'refused', 'boot_failed');
  metrics.refused('unknown_domain');
  const text = await metrics.registry.metrics();
  t.match(text, /fastcontainer_requests_total\{app="shop",code="200",temperature="warm",outcome="complete"\} 2/);
  t.match(text, /fastcontainer_requests_total\{app="shop",code="503",temperature="cold",outcome="refused"\} 1/);
  t.match(text, /fastcontainer_errors_total\{app="shop",error="boot_failed"\} 1/);
  t.match(text, /fastcontainer_errors_total\{app="",error="unknown_domain"\} 1/);
  t.match(text, /fastcontainer_request_duration_seconds_count\{app="shop",temperature="warm"\} 2/);
  t.match(text, /process_cpu_user_seconds_total/);
});

t.test('durations add up from bucket to bucket', async (t) => {
  const metrics = new Metrics();
  for (const ms of [0.5, 1, 3, 700, 90_000]) metrics.request('shop', 200, 'warm', ms, 'complete');
  const text = await metrics.registry.metrics();
  const bucket = (le: string) =>
    Number(new RegExp(`_bucket\\{le="${le}",app="shop",temperature="warm"\\} (\\d+)`).exec(text)?.[1]);
  t.same(
    ['0.001', '0.0025', '0.005', '0.5', '1', '60', '+Inf'].map((le) => bucket(le.replace('+', '\\+'))),
    [2, 2, 3, 3, 4, 4, 5],
  );
  t.match(text, /fastcontainer_request_duration_seconds_sum\{app="shop",temperature="warm"\} 90\.704/);
  t.notMatch(text, /fastcontainer_request_duration_seconds_count\{app="shop",temperature="cold"\}/);
});

t.test('customers cannot grow the memory: apps beyond the bound share a label', async (t) => {
  const metrics = new Metrics({ maxApps: 3 });
  for (let index = 0; index < 100; index += 1) metrics.request(`app-${index}`, 200, 'warm', 1, 'complete');
  const text = await metrics.registry.metrics();
  t.match(text, /app="_other",code="200",temperature="warm",outcome="complete"\} 97/);
  t.notMatch(text, /app="app-4"/);
});

t.test('instances are those of the store, and absent while it is away', async (t) => {
  const metrics = new Metrics();
  metrics.follow({
    instances: async function* () {
      yield 'ready' as const;
      yield 'ready' as const;
      yield 'booting' as const;
    },
  });
  t.match(await metrics.registry.metrics(), /fastcontainer_instances\{state="ready"\} 2/);
  metrics.follow({
    // oxlint-disable-next-line require-yield
    instances: async function* () {
      throw new Error('away');
    },
  });
  t.notMatch(await metrics.registry.metrics(), /fastcontainer_instances\{/);
});

import t from 'tap';
import { sumOf } from '../../bench/admin.js';
import { serverTiming } from '../../bench/ask.js';

const scrape = `# HELP boots_total Boots.
# TYPE boots_total counter
boots_total{runtime="process",result="ready"} 3
boots_total{runtime="docker",result="ready"} 2
boots_total{runtime="docker",result="failed"} 1
boots_total_seconds 9
queue_length 4
`;

t.test('a metric is summed over the labels that were not asked for', async (t) => {
  t.equal(sumOf(scrape, 'boots_total', {}), 6);
  t.equal(sumOf(scrape, 'boots_total', { result: 'ready' }), 5);
  t.equal(sumOf(scrape, 'boots_total', { runtime: 'docker', result: 'ready' }), 2);
  t.equal(sumOf(scrape, 'queue_length', {}), 4);
  t.equal(sumOf(scrape, 'unheard_of', {}), 0, 'what was never counted is zero');
});

t.test('the phases of a cold answer are read from Server-Timing', async (t) => {
  t.same(serverTiming('lookup;dur=0.5, queue;dur=1.0, ready;dur=40.2'), { lookup: 0.5, queue: 1, ready: 40.2 });
  t.same(serverTiming(''), {});
});

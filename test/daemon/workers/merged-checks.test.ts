import t from 'tap';
import { mergeChecks } from '../../../src/daemon/workers/merged-checks.js';

const own = { cmdb: { ok: true }, serving: { ok: true } };
const worker = (slot: number, changes = {}) => ({ slot, pid: 100 + slot, heardAt: 50, checks: own, ...changes });

t.test('a daemon is ready when every worker is', (t) => {
  const checks = mergeChecks({ own, workers: [worker(1), worker(2)], wanted: 2, silentSince: 40 });
  t.same(checks, { ...own, workers: { ok: true } });
  t.end();
});

t.test('what is wrong with a worker names it', (t) => {
  const blind = worker(2, { checks: { cmdb: { ok: false, detail: 'connection refused' } } });
  const checks = mergeChecks({ own, workers: [worker(1), blind], wanted: 2, silentSince: 40 });
  t.same(checks['cmdb'], { ok: false, detail: 'worker 2: connection refused' });
  t.end();
});

t.test('missing and silent workers are told', (t) => {
  const checks = mergeChecks({ own, workers: [worker(1, { heardAt: 10 })], wanted: 2, silentSince: 40 });
  t.same(checks['workers'], { ok: false, detail: '1 of 2 serve; worker 1 (pid 101) does not answer' });
  t.end();
});

import t from 'tap';
import { checkWorkers } from '../../src/cli/host-checks/workers.js';
import { loadFiles } from '../config/files.js';

t.test('more workers than cores, or than boots at a time, are told', async (t) => {
  const config = await loadFiles({ 'main.yaml': 'workers: 4\nboot: { concurrency: 3 }\n' });
  t.same(checkWorkers(config, 2), {
    problems: [],
    warnings: [
      'workers: 4 processes on 2 processor cores; auto is one for each core',
      'boot.concurrency: 3 divided among 4 workers; each may boot one at a time',
    ],
  });
  t.same(checkWorkers({ ...config, boot: { ...config.boot, concurrency: 4 } }, 4).warnings, []);
});

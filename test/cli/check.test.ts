import t from 'tap';
import { runCheck } from '../../src/cli/check.js';
import { loadFiles } from '../config/files.js';

t.test('further checks add what they find, and one that throws is a problem', async (t) => {
  const config = await loadFiles({
    'main.yaml': 'listen: { http: "127.0.0.1:0" }\nadmin: { listen: "127.0.0.1:0", token: 0123456789abcdef }\n',
  });
  const findings = await runCheck(config, [
    { name: 'store', run: async () => ({ problems: ['the store is away'], warnings: ['the store forgets'] }) },
    { name: 'engine', run: () => Promise.reject(new Error('no answer')) },
  ]);
  t.strictSame(findings, { problems: ['the store is away', 'engine: no answer'], warnings: ['the store forgets'] });
});

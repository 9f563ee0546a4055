import t from 'tap';
import { type Location, sees } from '../../src/model/instance.js';

const at = (changes: Partial<Location> = {}): Location => ({ host: 'here', runtime: 'process', ...changes });
const sight = { host: 'here', runtimeIds: new Map([['process', 'mine'] as const]) };

t.test('a node sees what its own runtimes hold', async (t) => {
  t.ok(sees(sight, at({ runtimeId: 'mine' })));
  t.notOk(sees(sight, at({ runtimeId: 'theirs' })), 'another state directory on the same machine');
  t.notOk(sees(sight, at({ host: 'there', runtimeId: 'mine' })), 'another machine');
});

t.test('what was written without an identity, or before it is known, is judged by its machine', async (t) => {
  t.ok(sees(sight, at()));
  t.ok(sees(sight, at({ runtime: 'docker', runtimeId: 'engine' })));
  t.ok(sees({ host: 'here' }, at({ runtimeId: 'theirs' })));
  t.notOk(sees({ host: 'here' }, at({ host: 'there' })));
});

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { directoryId } from '../../../src/runtime/kept/directory-id.js';

async function directory(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'fastcontainer-id-'));
  t.teardown(() => rm(path, { recursive: true }));
  return path;
}

t.test('all that share a directory get one id, also at once and later', async (t) => {
  const path = await directory(t);
  const ids = await Promise.all(Array.from({ length: 20 }, () => directoryId(path)));
  t.equal(new Set([...ids, await directoryId(path)]).size, 1);
  t.same(await readdir(path), ['id'], 'nothing half done is left');
  t.not(await directoryId(await directory(t)), ids[0]);
});

t.test('a file that holds no id is named', async (t) => {
  const path = await directory(t);
  await writeFile(join(path, 'id'), '');
  await t.rejects(directoryId(path), { message: /id holds no id: remove it/ });
});

import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { localSigningKey, readSigningKey } from '../../src/machine/signing-key.js';

async function directory(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'fastcontainer-key-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

t.test('processes that start at once get one key, in a file that only their user can read', async (t) => {
  const stateDir = join(await directory(t), 'state');
  const code = `
    import { localSigningKey } from ${JSON.stringify(resolve('dist/src/machine/signing-key.js'))};
    process.stdout.write(localSigningKey(${JSON.stringify(stateDir)}));`;
  const make = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', code]);
  const keys = new Set((await Promise.all([make(), make(), make()])).map(({ stdout }) => stdout));
  keys.add(localSigningKey(stateDir));
  t.equal(keys.size, 1);
  t.match([...keys][0], /^[\w-]{43}$/);
  t.same(await readdir(stateDir), ['signing.key'], 'no draft is left');
  t.equal((await stat(stateDir)).mode & 0o777, 0o700);
  t.equal((await stat(join(stateDir, 'signing.key'))).mode & 0o777, 0o600);
});

t.test('a key that others can read, or that is cut short, is refused with what to do', async (t) => {
  const stateDir = await directory(t);
  const file = join(stateDir, 'signing.key');
  t.equal(readSigningKey(stateDir), undefined, 'reading makes none');
  const key = localSigningKey(stateDir);
  await chmod(file, 0o640);
  t.throws(() => localSigningKey(stateDir), { message: /must belong to the daemon's user alone; run: .*chmod 0600/ });
  await chmod(file, 0o600);
  t.equal(localSigningKey(stateDir), key);
  await writeFile(file, 'short\n');
  t.throws(() => localSigningKey(stateDir), { message: /no key of at least 32 characters; restore it/ });
  await chmod(stateDir, 0o755);
  t.throws(() => localSigningKey(stateDir), { message: new RegExp(`chmod 0700 ${stateDir}`) });
});

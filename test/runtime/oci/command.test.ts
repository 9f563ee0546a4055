import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { isInImage } from '../../../src/runtime/oci/command.js';

t.test('links of an image are followed in the image, not on the host', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'fastcontainer-image-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  writeFileSync(join(root, 'usr/bin/box'), '');
  symlinkSync('usr/bin', join(root, 'bin'));
  symlinkSync('/bin/box', join(root, 'usr/bin/sh'));
  symlinkSync('/etc/passwd', join(root, 'usr/bin/outside'));
  symlinkSync('../../../../../etc/passwd', join(root, 'usr/bin/above'));
  symlinkSync('loop', join(root, 'usr/bin/loop'));
  t.ok(isInImage(root, '/bin/sh'));
  t.ok(isInImage(root, '/bin/.././bin/box'));
  for (const path of ['/bin/outside', '/bin/above', '/bin/loop', '/bin/none', '/bin/box/none'])
    t.notOk(isInImage(root, path), path);
});

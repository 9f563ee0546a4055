import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { dockerWarnings } from '../../../src/runtime/docker.js';
import { systemClock } from '../../../src/machine/system-clock.js';
import { useOwnDocker } from '../../fixtures/docker.js';
import { testImage } from '../../fixtures/docker-image.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootApp, dockerApp, openRuntime } from './open-runtime.js';

const mib = 1024 * 1024;

t.test('on a storage driver with quotas a container cannot write more than it may', async (t) => {
  const missing = whyNot();
  if (missing !== undefined) {
    t.plan(0, `skipped: ${missing}`);
    return;
  }
  const engine = await useOwnDocker(t, (directory) => {
    const image = join(directory, 'data.img');
    writeFileSync(image, '');
    truncateSync(image, 1024 * mib);
    execFileSync('mkfs.btrfs', ['--quiet', image]);
  });
  if (!engine) return;
  const image = await testImage(engine.docker, 'busybox');
  const { runtime } = openRuntime(t, engine, { diskBytes: 64 * mib });
  // Each part is on the disk before the next, as a quota counts what is there.
  const script =
    'for part in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/part$part bs=1M count=16 conv=fsync || break; done; echo "parts: $part."; exec sleep 100';
  const { id } = await bootApp(runtime, dockerApp({ image, command: ['sh', '-c', script] }));
  const said = await eventually(async () => /^(.*\n)*parts: (\d+)\.$/m.exec(await runtime.output(id, 10_000)));
  t.match(said?.[0], /quota exceeded|No space left/);
  t.ok(Number(said?.[2]) <= 4, `it ends in part ${said?.[2]} of 16 MiB`);
  const second = await bootApp(runtime, dockerApp({ image, command: ['sh', '-c', 'echo fine >/file && cat /file'] }));
  await eventually(async () => (await runtime.output(second.id, 100)) === 'fine\n');
  t.pass('which costs its neighbour nothing');
  const warnings = await dockerWarnings({ socketPath: engine.socketPath, network: 'none-yet', clock: systemClock });
  t.notOk(warnings.some((line) => /cannot bound what/.test(line)));
});

function whyNot(): string | undefined {
  const path = (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/sbin');
  if (!/^\s*btrfs$/m.test(readFileSync('/proc/filesystems', 'utf8'))) return 'the kernel has no btrfs';
  if (!existsSync('/dev/loop-control')) return 'there are no loop devices';
  return path.some((folder) => existsSync(join(folder, 'mkfs.btrfs')))
    ? undefined
    : 'missing: mkfs.btrfs (btrfs-progs); run scripts/provision.sh';
}

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { readHostMemory } from '../../src/machine/host-memory.js';

const kibibyte = 1_024;
const meminfo = 'MemTotal:       8000 kB\nMemFree:        1000 kB\nMemAvailable:   5000 kB\n';

/** Reads from files of the test's own in the place of /proc and /sys/fs/cgroup. */
async function read(t: Test, files: Record<string, string>) {
  const root = await mkdtemp(join(tmpdir(), 'fastcontainer-test-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return readHostMemory(join(root, 'proc'), join(root, 'cgroup'));
}

t.test('without limits it is what the machine has', async (t) => {
  const machine = { totalBytes: 8_000 * kibibyte, availableBytes: 5_000 * kibibyte };
  t.same(await read(t, { 'proc/meminfo': meminfo }), machine);
  const unlimited = {
    'proc/meminfo': meminfo,
    'proc/self/cgroup': '4:memory:/a\n0::/b\n',
    'cgroup/memory/a/memory.limit_in_bytes': '9223372036854771712\n',
    'cgroup/memory/a/memory.usage_in_bytes': '4096\n',
    'cgroup/b/memory.max': 'max\n',
    'cgroup/b/memory.current': '4096\n',
  };
  t.same(await read(t, unlimited), machine);
});

t.test(
  'a limit of version 2 counts where it leaves less, also that of a group above; caches count as free',
  async (t) => {
    const files = {
      'proc/meminfo': meminfo,
      'proc/self/cgroup': '0::/system.slice/fastcontainer.service\n',
      'cgroup/system.slice/fastcontainer.service/memory.max': `${4_000 * kibibyte}\n`,
      'cgroup/system.slice/fastcontainer.service/memory.current': `${1_000 * kibibyte}\n`,
      'cgroup/system.slice/memory.max': `${3_000 * kibibyte}\n`,
      'cgroup/system.slice/memory.current': `${2_500 * kibibyte}\n`,
      'cgroup/system.slice/memory.stat': `anon 1\ninactive_file ${400 * kibibyte}\nactive_file ${100 * kibibyte}\n`,
    };
    t.same(await read(t, files), { totalBytes: 3_000 * kibibyte, availableBytes: 1_000 * kibibyte });
  },
);

t.test('a limit of version 1 counts as well, also where the path is that of the host outside', async (t) => {
  const files = {
    'proc/meminfo': meminfo,
    'proc/self/cgroup': '9:name=systemd:/\n4:cpu,memory:/docker/0123\n0::/\n',
    'cgroup/memory/memory.limit_in_bytes': `${2_000 * kibibyte}\n`,
    'cgroup/memory/memory.usage_in_bytes': `${1_500 * kibibyte}\n`,
    'cgroup/memory/memory.stat': `inactive_file 1\ntotal_inactive_file ${300 * kibibyte}\ntotal_active_file 0\n`,
  };
  t.same(await read(t, files), { totalBytes: 2_000 * kibibyte, availableBytes: 800 * kibibyte });
});

t.test('where the system does not tell there is no figure', async (t) => {
  t.equal(await read(t, {}), undefined);
  t.equal(await read(t, { 'proc/meminfo': 'MemTotal: a lot\n' }), undefined);
});

t.test('this machine tells', async (t) => {
  const memory = readHostMemory();
  t.ok(memory && memory.availableBytes > 0 && memory.availableBytes <= memory.totalBytes);
});

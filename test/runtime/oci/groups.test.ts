import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { identify } from '../../../src/machine/proc-fs.js';
import { Groups, rootsOf } from '../../../src/runtime/oci/groups.js';

/** Two dispatchers of one state directory; undefined if this process may not make groups. */
function useGroups(t: Test): { readonly groups: readonly [Groups, Groups]; readonly directory: string } | undefined {
  const id = randomBytes(8).toString('hex');
  const groups = [new Groups(id), new Groups(id)] as const;
  groups[0].hold();
  const directory = join(groups[0].pathsOf('any')[0] ?? '/none', '..');
  if (existsSync(directory)) return { groups, directory };
  t.plan(0, 'this process may not make control groups');
  return undefined;
}

t.test('a dispatcher that closes does not remove the directory that another one holds', async (t) => {
  const found = useGroups(t);
  if (!found) return;
  const { groups, directory } = found;
  const other = await dispatcherThatRuns(t);
  mkdirSync(join(directory, other.name));
  groups[0].close();
  t.ok(existsSync(directory));
  other.child.kill('SIGKILL');
  await once(other.child, 'exit');
  groups[1].hold();
  t.notOk(readdirSync(directory).includes(other.name), 'what a dead one held is let go');
  groups[1].close();
  t.notOk(existsSync(directory));
});

t.test(
  'on a host with control groups of version 2 alone there is one directory, else first the one with limits',
  async (t) => {
    const v2 = '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n';
    t.same(rootsOf(v2, '0::/init.scope\n'), ['/sys/fs/cgroup']);
    const mixed = [
      '30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
      '31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory',
      '32 23 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids',
    ].join('\n');
    const roots = rootsOf(mixed, '3:memory:/\n2:pids:/\n0::/\n');
    t.equal(roots[0], '/sys/fs/cgroup/pids');
    t.same(new Set(roots), new Set(['pids', 'memory', 'unified'].map((name) => `/sys/fs/cgroup/${name}`)));
  },
);

/** A process that stands for a dispatcher, and what it holds a directory by. */
async function dispatcherThatRuns(t: Test) {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  const { pid, startTime } = identify(child.pid ?? 0);
  return { child, name: `dispatcher.${pid}.${startTime}` };
}

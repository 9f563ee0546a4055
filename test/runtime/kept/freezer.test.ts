import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { reclaim } from '../../../src/runtime/kept/freezer.js';

/** Directories with the files of the kernel that matter here, and what was written for memory. */
function group(t: Test, files: { readonly freezer: [string, string]; readonly memory: [string, string][] }) {
  const root = t.testdir();
  const [freezer, state] = files.freezer;
  const paths = ['freezer', 'memory'].map((name) => join(root, name));
  for (const path of paths) mkdirSync(path);
  writeFileSync(join(paths[0]!, freezer), state);
  for (const [name, text] of files.memory) writeFileSync(join(paths[1]!, name), text);
  const [asked = ''] = files.memory.at(-1) ?? [];
  return { paths, asked: () => readFileSync(join(paths[1]!, asked), 'utf8') };
}

t.test('memory is asked of a group that stands still, of as much as there is', async (t) => {
  const v1 = group(t, { freezer: ['freezer.state', 'FROZEN\n'], memory: [['memory.force_empty', '']] });
  await reclaim(v1.paths);
  t.equal(v1.asked(), '0');
  const v2 = group(t, {
    freezer: ['cgroup.freeze', '1\n'],
    memory: [
      ['memory.current', '4096\n'],
      ['memory.reclaim', ''],
    ],
  });
  await reclaim(v2.paths);
  t.equal(v2.asked(), '4096');
});

t.test('none is asked of a group that runs again when its turn comes', async (t) => {
  const running: [string, string][] = [
    ['freezer.state', 'THAWED\n'],
    ['cgroup.freeze', '0\n'],
  ];
  for (const freezer of running) {
    const { paths, asked } = group(t, { freezer, memory: [['memory.force_empty', '']] });
    await reclaim(paths);
    t.equal(asked(), '', freezer[0]);
  }
});

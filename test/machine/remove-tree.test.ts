import { chownSync, existsSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { removeTree } from '../../src/machine/remove-tree.js';

const needsRoot = { skip: process.getuid?.() !== 0 && 'needs root' };
const me = process.getuid?.() ?? 0;
const never = async () => {};

function fill(directory: string, files: number): void {
  mkdirSync(directory, { recursive: true });
  for (let index = 0; index < files; index += 1) writeFileSync(join(directory, `f${index}`), '');
}

t.test(
  'a directory that is exchanged for a link while it is emptied is emptied itself, and not what the link leads to',
  async (t) => {
    const base = t.testdir({ victim: { secret: '' } });
    const [tree, victim] = [join(base, 'tree'), join(base, 'victim')];
    // The names that are removed are those of the victim as well.
    fill(victim, 300);
    for (const inner of [tree, join(tree, 'sub')]) {
      fill(inner, 300);
      if (inner !== tree) mkdirSync(join(tree, 'sub', 'deep'));
      let moved = 0;
      const aside = join(base, `aside${inner.length}`);
      await removeTree(tree, me, async () => {
        if (moved++ > 0 || !existsSync(inner)) return;
        renameSync(inner, aside);
        symlinkSync(victim, inner);
      });
      t.ok(moved > 0);
      t.ok(existsSync(join(victim, 'secret')) && existsSync(join(victim, 'f0')) && existsSync(join(victim, 'f299')));
      await removeTree(tree, me, never);
      t.notOk(existsSync(tree), 'the link itself goes');
    }
  },
);

t.test('what a directory of another user holds stays, and so does the rest of the way to it', needsRoot, async (t) => {
  const base = t.testdir();
  const tree = join(base, 'tree');
  fill(join(tree, 'theirs'), 3);
  fill(join(tree, 'own', 'theirs'), 3);
  fill(join(tree, 'own', 'deep'), 3);
  for (const path of [tree, join(tree, 'own'), join(tree, 'own', 'deep')]) chownSync(path, 12_345, 12_345);
  t.equal(await removeTree(tree, 12_345, never), false);
  t.ok(existsSync(join(tree, 'theirs', 'f2')));
  t.notOk(existsSync(join(tree, 'own', 'deep')));
  t.equal(await removeTree(tree, 54_321, never), false, 'nor anything of a tree of somebody else');
  t.ok(existsSync(join(tree, 'theirs', 'f2')));
});

t.test('what ends a removal leaves the rest, which the next one removes', async (t) => {
  const tree = join(t.testdir(), 'tree');
  fill(tree, 500);
  await t.rejects(
    removeTree(tree, me, async () => {
      throw new Error('enough');
    }),
    { message: 'enough' },
  );
  t.ok(existsSync(tree));
  t.equal(await removeTree(tree, me, never), true);
  t.notOk(existsSync(tree));
  t.equal(await removeTree(tree, me, never), true, 'twice is harmless');
});

t.test('depth does not matter', async (t) => {
  const tree = join(t.testdir(), 'tree');
  const depth = 2_100;
  mkdirSync(tree);
  // Longer than any path may be: made from within.
  const from = process.cwd();
  try {
    process.chdir(tree);
    for (let level = 0; level < depth; level += 1) {
      mkdirSync('d');
      process.chdir('d');
    }
  } finally {
    process.chdir(from);
  }
  t.equal(await removeTree(tree, me, never), true);
  t.notOk(existsSync(tree));
});

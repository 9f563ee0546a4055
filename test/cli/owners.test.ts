import { chmod, chown, mkdir, symlink } from 'node:fs/promises';
import t from 'tap';
import { checkOwners } from '../../src/cli/host-checks/owners.js';
import { loadConfig } from '../../src/config/load-config.js';
import { appYaml, type Files, makeFiles } from '../config/files.js';

const needsRoot = { skip: process.getuid?.() !== 0 && 'only root can give files to another user' };
const other = 31_003;
const main = `
stateDir: ./state
cmdb: { url: "lmdb:./state/cmdb", signingKey: a-key-of-the-tests-which-is-no-secret }
apps: [./apps/*.yaml, { path: ./srv/*/app.yaml, trust: customer, domains: "*.example.org", plan: small, images: [php] }]
plans: { small: { runtime: docker } }
`;

/** What is said of files after `change`, with names relative to their directory. */
async function warningsAfter(change: (files: Files) => Promise<unknown>): Promise<string[]> {
  const files = await makeFiles({
    'main.yaml': main,
    'apps/a.yaml': appYaml('a'),
    'apps/b.yaml': appYaml('b'),
    'srv/c1/app.yaml': 'name: c\ndomains: [c.example.org]\nimage: php:8\n',
  });
  try {
    await change(files);
    const config = await loadConfig(files.main, {});
    return checkOwners(config).warnings.map((line) => line.replaceAll(files.directory, '.'));
  } finally {
    await files.remove();
  }
}

t.test('nothing is said of files that only the daemon can write, and those of customers are their own', async (t) => {
  t.same(await warningsAfter(async () => {}), []);
  if (process.getuid?.() !== 0) return;
  t.same(
    await warningsAfter(async (files) => {
      await chown(files.path('srv/c1'), other, other);
      await chown(files.path('srv/c1/app.yaml'), other, other);
    }),
    [],
  );
});

t.test('a file or a directory that everybody may write to is named, with the command that mends it', async (t) => {
  t.match(await warningsAfter((files) => chmod(files.main, 0o666)), [
    /^\.\/main\.yaml: everybody .*chmod go-w \.\/main/,
  ]);
  t.match(await warningsAfter((files) => chmod(files.path('apps'), 0o777)), [
    /^\.\/apps, on the way to \.\/apps\/a\.yaml and 2 more: everybody may write to it \(mode 0777\)/,
  ]);
  t.match(await warningsAfter((files) => chmod(files.directory, 0o777)), [/^\., on the way to \.\/main\.yaml and /]);
  t.match(await warningsAfter((files) => chmod(files.path('srv'), 0o777)), [/^\.\/srv: everybody/]);
});

t.test(
  'in a directory where all may write and nobody may remove, only what is not ours is named',
  needsRoot,
  async (t) => {
    t.same(await warningsAfter((files) => chmod(files.directory, 0o1777)), []);
    const warnings = await warningsAfter(async (files) => {
      await chmod(files.path('apps'), 0o1777);
      await chown(files.path('apps/a.yaml'), other, other);
    });
    t.match(warnings, [/^\.\/apps\/a\.yaml: it belongs to user 31003; run: chown 0/, /^\.\/apps: everybody/]);
  },
);

t.test('so is what another user or group can change, also where a link leads', needsRoot, async (t) => {
  t.match(await warningsAfter((files) => chown(files.path('apps/b.yaml'), other, 0)), [
    /^\.\/apps\/b\.yaml: it belongs/,
  ]);
  t.match(await warningsAfter((files) => chown(files.directory, other, 0)), [/^\., on the way to .*user 31003/]);
  const ofGroup = await warningsAfter(async (files) => {
    await chown(files.path('apps/a.yaml'), 0, other);
    await chmod(files.path('apps/a.yaml'), 0o664);
  });
  t.match(ofGroup, [/^\.\/apps\/a\.yaml: its group 31003 may write to it \(mode 0664\); run: chmod g-w/]);
  const linked = await warningsAfter(async (files) => {
    await mkdir(files.path('elsewhere'));
    await files.write('elsewhere/d.yaml', appYaml('d'));
    await chown(files.path('elsewhere'), other, other);
    await symlink(files.path('elsewhere/d.yaml'), files.path('apps/d.yaml'));
  });
  t.match(linked, [/^\.\/elsewhere, on the way to \.\/apps\/d\.yaml: it belongs to user 31003/]);
  const state = await warningsAfter(async (files) => {
    await mkdir(files.path('state'), { mode: 0o700 });
    await chmod(files.directory, 0o775);
    await chown(files.directory, 0, other);
  });
  t.match(state, [/^\., on the way to .*its group 31003/]);
});

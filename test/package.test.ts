import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { spawnCommand } from './fixtures/daemon.js';
import { portRange } from './fixtures/port-range.js';
import { ask } from './fixtures/request.js';

const run = promisify(execFile);

t.test('what npm packs starts in any directory, with the example that it brings along', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-pack-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  // The tests run on what prepack builds; building it again under them would pull it away.
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', dir]);
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  const strays = files.filter(({ path }) => /^(src|test|bench|scripts|dist\/(test|bench|scripts)|\.)/.test(path));
  t.same(strays, []);
  for (const file of ['page.html', 'page.js', 'page.css'])
    t.ok(
      files.some(({ path }) => path === `dist/src/admin/page/${file}`),
      file,
    );
  execFileSync('tar', ['-xzf', join(dir, filename), '-C', dir]);
  const installed = join(dir, 'node_modules', 'fastcontainer');
  await mkdir(join(dir, 'node_modules'));
  execFileSync('mv', [join(dir, 'package'), installed]);
  await symlink(resolve('node_modules'), join(installed, 'node_modules'));
  const main = join(installed, 'config', 'fastcontainer.yaml');
  const { from, to } = portRange(t);
  const text = (await readFile(main, 'utf8')).replace('127.0.0.1:8080', '127.0.0.1:0');
  await writeFile(
    main,
    `${text}\nruntimes: { process: { ports: ${from}-${to}, scratchDir: ${join(dir, 'scratch')} } }\n`,
  );
  const elsewhere = join(dir, 'elsewhere');
  await mkdir(elsewhere, { mode: 0o755 });
  // The app has a user of its own, who has to get there.
  execFileSync('chmod', ['0755', dir]);
  const program = join(installed, 'dist', 'src', 'main.js');
  const start = ['-C', elsewhere, process.execPath, program, 'start', '--stop-apps'];
  const { port, child } = await spawnCommand(t, 'env', ...start);
  t.match(await ask(port, 'hello.localhost'), { status: 200, body: /^Hello from process \d+/ });
  const checked = await run(process.execPath, [program, 'check'], { cwd: elsewhere });
  t.match(checked.stdout, /^ok: .*config\/fastcontainer\.yaml, 1 app/);
  // As npm links it with -g.
  const command = join(dir, 'bin', 'fastcontainer');
  await mkdir(join(dir, 'bin'));
  await symlink(program, command);
  await chmod(program, 0o755);
  const env = { ...process.env, PATH: `${join(dir, 'bin')}:${process.env['PATH'] ?? ''}` };
  await run('fastcontainer', ['init', 'site'], { cwd: elsewhere, env });
  const made = await run('fastcontainer', ['check'], { cwd: join(elsewhere, 'site'), env });
  t.match(made.stdout, /^ok: fastcontainer\.yaml, 1 app/);
  t.match(await readFile(join(elsewhere, 'site', 'fastcontainer.service'), 'utf8'), `ExecStart=${command} start`);
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null], 'it ends its app with itself');
});

t.test('the package is built before it is packed', async (t) => {
  const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> };
  t.equal(scripts['prepack'], 'npm run --silent build');
});

interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

t.test('what is installed in production is locked by its digest, and needs no script of a package', async (t) => {
  const { packages } = JSON.parse(await readFile('package-lock.json', 'utf8')) as {
    packages: Record<string, LockedPackage>;
  };
  const production = Object.entries(packages).filter(([path, { dev }]) => path !== '' && !dev);
  for (const [path, { integrity }] of production)
    if (!integrity?.startsWith('sha512-')) t.fail(`${path} has no digest`);
  const scripted = production.filter(([, { hasInstallScript }]) => hasInstallScript);
  t.same(scripted.map(([path]) => path).toSorted(), ['node_modules/lmdb', 'node_modules/msgpackr-extract']);
  for (const [path, { optionalDependencies = {} }] of scripted) {
    const built = Object.keys(optionalDependencies).filter((name) => name.includes('linux-x64'));
    t.equal(built.length, 1, `${path} comes built`);
    t.ok(packages[`node_modules/${built[0]}`]?.integrity, `${built[0]} is locked`);
  }
});

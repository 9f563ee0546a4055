import { existsSync } from 'node:fs';
import { mkdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join, resolve } from 'node:path';
import { showFile } from '../config/path.js';
import { Failure } from './exit-codes.js';
import { exampleFile, packageDirectory } from './package-directory.js';

/** Where a service has its configuration, its data and its socket. */
const system = { directory: '/etc/fastcontainer', state: '/var/lib/fastcontainer', run: '/run/fastcontainer' };

/**
 * Writes a main file, an app and the unit of a service into a directory, from the examples of the package; resolves to what was written.
 * Throws a Failure, and writes nothing, if one of the files is there.
 */
export async function init(directory: string, program = process.argv[1] ?? ''): Promise<readonly string[]> {
  const dir = resolve(directory);
  // Else it had to be written differently in YAML, in a variable and in a unit.
  if (!/^[\w./@+-]+$/.test(dir))
    throw new Failure(2, `${JSON.stringify(dir)}: choose a directory of letters, digits and . _ @ + - alone`);
  const main = join(dir, 'fastcontainer.yaml');
  const files = new Map([
    [main, mainFile(await example(exampleFile), dir)],
    [join(dir, 'apps', 'hello.yaml'), appFile(await example(join(dirname(exampleFile), 'apps', 'hello.yaml')))],
    [join(dir, 'fastcontainer.service'), unit(await example(unitFile), dir, await commandOf(program))],
  ]);
  const there = [...files.keys()].filter((file) => existsSync(file));
  if (there.length > 0)
    throw new Failure(
      6,
      `${there.map(showFile).join(', ')}: already there, so nothing was written; choose another directory`,
    );
  for (const [file, text] of files) {
    await mkdir(dirname(file), { recursive: true, mode: 0o755 });
    // The main file may get passwords. Never over a file that came meanwhile.
    await writeFile(file, text, { flag: 'wx', mode: file === main ? 0o640 : 0o644 });
  }
  return [...files.keys()];
}

const unitFile = join(packageDirectory, 'examples', 'systemd', 'fastcontainer.service');

function example(file: string): Promise<string> {
  return readFile(file, 'utf8');
}

function mainFile(text: string, dir: string): string {
  const isSystem = dir === system.directory;
  const state = isSystem ? system.state : join(dir, 'data');
  const admin = isSystem ? `\nadmin:\n  listen: unix:${system.run}/admin.sock\n` : '';
  return replaced(text, [
    ['$schema=./schema/', `$schema=${packageDirectory}/config/schema/`],
    [
      '# Test it with: fastcontainer check --config config/fastcontainer.yaml\n',
      `# Test it with: fastcontainer check --config ${dir}/fastcontainer.yaml\n`,
    ],
    ['cmdb: lmdb:./data/cmdb\n', `cmdb: lmdb:${state}/cmdb\n`],
    [
      '# The store. Embedded, in a directory (relative to the working directory):\n',
      `stateDir: ${state}\n${admin}\n# The store. Embedded, in a directory:\n`,
    ],
  ]);
}

function appFile(text: string): string {
  return replaced(text, [
    ['$schema=../schema/', `$schema=${packageDirectory}/config/schema/`],
    ['${FASTCONTAINER_PACKAGE:-.}/examples', `${packageDirectory}/examples`],
  ]);
}

function unit(text: string, dir: string, command: string): string {
  const ours = replaced(text, [
    [
      'ExecStartPre=-/usr/bin/fastcontainer check --config /etc/fastcontainer/',
      `ExecStartPre=-${command} check --config ${dir}/`,
    ],
    [
      'ExecStart=/usr/bin/fastcontainer start --config /etc/fastcontainer/',
      `ExecStart=${command} start --config ${dir}/`,
    ],
  ]);
  if (dir === system.directory) return ours;
  return replaced(ours, [
    [
      'WorkingDirectory=/var/lib/fastcontainer\nStateDirectory=fastcontainer\nStateDirectoryMode=0700\n',
      `WorkingDirectory=${dir}\n`,
    ],
    [
      '# For admin: { listen: unix:/run/fastcontainer/admin.sock }. If admin.socket lets a group use it, 0711 lets its members pass.\n' +
        'RuntimeDirectory=fastcontainer\nRuntimeDirectoryMode=0700\n',
      '',
    ],
  ]);
}

/** Each of the texts stands in it once; another example than these lines were written for is a defect. */
function replaced(text: string, pairs: readonly (readonly [from: string, to: string])[]): string {
  return pairs.reduce((before, [from, to]) => {
    if (before.split(from).length !== 2) throw new Error(`the example does not say once: ${from}`);
    return before.replace(from, () => to);
  }, text);
}

/** How a service starts this program: by its name on the PATH, else by its file and this node. */
async function commandOf(program: string): Promise<string> {
  const real = await realpath(program).catch(() => program);
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const named = join(resolve(directory), 'fastcontainer');
    if ((await realpath(named).catch(() => undefined)) === real) return named;
  }
  return `${process.execPath} ${real}`;
}

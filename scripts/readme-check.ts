import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

// Starts what the README starts and runs every command that it marks with `sh ci`, as it is written.

const run = promisify(execFile);
const readme = await readFile('README.md', 'utf8');
const commands = [...readme.matchAll(/^```sh ci\n([\s\S]*?)^```/gm)].map(([, command = '']) => command.trim());
const cwd = process.cwd();

const daemon = spawn(
  process.execPath,
  ['dist/src/main.js', 'start', '--config', 'config/fastcontainer.yaml', '--stop-apps'],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, LOG_LEVEL: 'info' },
  },
);
let exitCode = 0;
try {
  await listening();
  for (const command of commands) await check(command);
  if (commands.length === 0) throw new Error('the README marks no command for this check');
} catch (error) {
  console.error(error);
  exitCode = 1;
} finally {
  daemon.kill('SIGTERM');
  if (daemon.exitCode === null) await once(daemon, 'exit');
  await rm(join(cwd, 'data'), { recursive: true, force: true });
}
console.log(
  exitCode === 0 ? `${commands.length} commands of the README work` : 'a command of the README does not work',
);
process.exit(exitCode);

async function listening(): Promise<void> {
  const lines = createInterface({ input: daemon.stdout });
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => line.includes('"listening"') && resolve());
    daemon.once('exit', (code) => reject(new Error(`the daemon ended with code ${code}`)));
  });
}

async function check(command: string): Promise<void> {
  const fails = command.startsWith('curl ') ? command.replace('curl ', 'curl -sS --fail ') : command;
  const { stdout } = await run('bash', ['-c', fails], { cwd });
  console.log(`$ ${command}\n${stdout.trim().slice(0, 300)}`);
  if (stdout.trim() === '') throw new Error(`no output: ${command}`);
}

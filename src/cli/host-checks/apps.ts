import { access, constants, stat } from 'node:fs/promises';
import { delimiter, resolve } from 'node:path';
import type { Environment } from '../../config/interpolate.js';
import type { App } from '../../model/app.js';
import type { Findings } from './host-check.js';

/** Whether this host has what the apps name: programs, directories, mounts. */
export async function checkApps(apps: readonly App[], env: Environment): Promise<Findings> {
  const findings = await Promise.all(apps.map((app) => checkApp(app, env)));
  return {
    problems: findings.flatMap(({ problems }) => problems),
    warnings: findings.flatMap(({ warnings }) => warnings),
  };
}

async function checkApp(app: App, env: Environment): Promise<Findings> {
  const say = (text: string) => `app ${app.name}: ${text}`;
  const found = app.runtime === 'process' ? await processProblems(app, env) : await mountProblems(app);
  return { problems: found.map(say), warnings: warningsOf(app).map(say) };
}

async function processProblems(app: App, env: Environment): Promise<string[]> {
  const cwd = app.cwd ?? process.cwd();
  if (!(await isDirectory(cwd))) return [`cwd ${cwd} is not there or is no directory`];
  const program = app.command?.[0] ?? '';
  const command = await programProblem(program, cwd, app.env['PATH'] ?? env['PATH'] ?? '');
  return command === undefined ? [] : [command];
}

async function programProblem(program: string, cwd: string, path: string): Promise<string | undefined> {
  if (program.includes('/')) {
    return (await isExecutable(resolve(cwd, program)))
      ? undefined
      : `command ${resolve(cwd, program)} is not there or not executable`;
  }
  for (const directory of path.split(delimiter)) {
    if (await isExecutable(resolve(cwd, directory, program))) return undefined;
  }
  return `command ${program} is not on PATH (${path})`;
}

async function mountProblems({ mounts }: App): Promise<string[]> {
  const missing = await Promise.all(
    mounts.map(async ({ source }) =>
      (await stat(source).catch(() => undefined)) ? undefined : `mount source ${source} is not there`,
    ),
  );
  return missing.filter((problem) => problem !== undefined);
}

const waitsForItself =
  'concurrency.max and scale.max are 1: a page of it that asks its own domain (WordPress does) waits for itself until queue.timeout; give it one more worker and raise concurrency.max, or scale.max';

function warningsOf({ runtime, mounts, env, readOnly, concurrency, scale }: App): string[] {
  const reserved = ['HOST', 'PORT'].filter((name) => Object.hasOwn(env, name));
  const idle = runtime === 'process' ? { mounts: mounts.length > 0, readOnly } : {};
  const isAlone = concurrency.max === 1 && scale.max === 1;
  return [
    ...(isAlone ? [waitsForItself] : []),
    ...reserved.map((name) => `env.${name} is given by the daemon; the value in the file is not used`),
    ...Object.entries(idle).flatMap(([key, set]) => (set ? [`${key} has no effect with runtime process`] : [])),
  ];
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

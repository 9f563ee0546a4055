import { execFile } from 'node:child_process';
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Environment } from '../../config/interpolate.js';
import type { App } from '../../model/app.js';
import type { Findings } from '../check.js';

/** Whether this host has what the apps name: programs, directories, users, mounts. */
export async function checkApps(apps: readonly App[], env: Environment): Promise<Findings> {
  const users = new Map<string, Promise<string | undefined>>();
  const findings = await Promise.all(apps.map((app) => checkApp(app, env, users)));
  return {
    problems: findings.flatMap(({ problems }) => problems),
    warnings: findings.flatMap(({ warnings }) => warnings),
  };
}

type Users = Map<string, Promise<string | undefined>>;

async function checkApp(app: App, env: Environment, users: Users): Promise<Findings> {
  const say = (text: string) => `app ${app.name}: ${text}`;
  const found = app.runtime === 'process' ? await processProblems(app, env, users) : await mountProblems(app);
  return { problems: found.map(say), warnings: warningsOf(app).map(say) };
}

async function processProblems(app: App, env: Environment, users: Users): Promise<string[]> {
  const cwd = app.cwd ?? process.cwd();
  if (!(await isDirectory(cwd))) return [`cwd ${cwd} is not there or is no directory`];
  const program = app.command?.[0] ?? '';
  const command = await programProblem(program, cwd, app.env['PATH'] ?? env['PATH'] ?? '');
  const user = await userProblem(app.user, users);
  return [command, user].filter((problem) => problem !== undefined);
}

async function programProblem(program: string, cwd: string, path: string): Promise<string | undefined> {
  if (program.includes('/')) {
    return (await isExecutable(resolve(cwd, program))) ? undefined : `command ${resolve(cwd, program)} is not there or not executable`;
  }
  for (const directory of path.split(delimiter)) {
    if (await isExecutable(resolve(cwd, directory, program))) return undefined;
  }
  return `command ${program} is not on PATH (${path})`;
}

function userProblem(user: string | undefined, users: Users): Promise<string | undefined> {
  if (user === undefined || /^\d+(:\d+)?$/.test(user)) return Promise.resolve(undefined);
  const known = users.get(user) ?? lookUp(user);
  users.set(user, known);
  return known;
}

/** Asks the name service, which also knows users that are not in /etc/passwd. */
async function lookUp(user: string): Promise<string | undefined> {
  const id = await promisify(execFile)('id', ['-u', '--', user]).then(({ stdout }) => Number(stdout), () => undefined);
  if (id === undefined) return `user ${user} does not exist`;
  const own = process.getuid?.();
  return own === 0 || own === id ? undefined : `user ${user} needs the daemon to run as root`;
}

async function mountProblems({ mounts }: App): Promise<string[]> {
  const missing = await Promise.all(
    mounts.map(async ({ source }) => ((await stat(source).catch(() => undefined)) ? undefined : `mount source ${source} is not there`)),
  );
  return missing.filter((problem) => problem !== undefined);
}

function warningsOf({ runtime, mounts, limits, env, readOnly }: App): string[] {
  const reserved = ['HOST', 'PORT'].filter((name) => Object.hasOwn(env, name));
  const idle = runtime === 'process' ? { mounts: mounts.length > 0, limits: Object.keys(limits).length > 0, readOnly } : {};
  return [
    ...reserved.map((name) => `env.${name} is given by the daemon; the value in the file is not used`),
    ...Object.entries(idle).flatMap(([key, set]) => (set ? [`${key} has no effect with runtime process`] : [])),
  ];
}

async function isExecutable(path: string): Promise<boolean> {
  const isFile = await stat(path).then((stats) => stats.isFile(), () => false);
  return isFile && (await access(path, constants.X_OK).then(() => true, () => false));
}

function isDirectory(path: string): Promise<boolean> {
  return stat(path).then((stats) => stats.isDirectory(), () => false);
}

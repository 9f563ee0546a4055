import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { assemble } from '../../src/config/assemble.js';
import type { Config } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load-config.js';
import { ConfigError, formatProblem } from '../../src/config/problem.js';
import { ConfigReader } from '../../src/config/reader/config-reader.js';

export interface Files {
  readonly directory: string;
  readonly main: string;
  path(name: string): string;
  write(name: string, content: string): Promise<void>;
  remove(): Promise<void>;
}

/** A directory of its own with these files; `main.yaml` is the main file. */
export async function makeFiles(files: Readonly<Record<string, string>>): Promise<Files> {
  const directory = await mkdtemp(join(tmpdir(), 'fastcontainer-config-'));
  const path = (name: string) => join(directory, name);
  const write = async (name: string, content: string) => {
    await mkdir(dirname(path(name)), { recursive: true });
    await writeFile(path(name), content);
  };
  for (const [name, content] of Object.entries(files)) await write(name, content);
  const remove = () => rm(directory, { recursive: true, force: true });
  return { directory, main: path('main.yaml'), path, write, remove };
}

/** Loads files that must be sound. */
export async function loadFiles(
  contents: Readonly<Record<string, string>>,
  env: Record<string, string> = {},
): Promise<Config> {
  const files = await makeFiles(contents);
  try {
    return await loadConfig(files.main, env);
  } finally {
    await files.remove();
  }
}

/** As a ConfigThread reads files, again and again, in this thread. */
export function configLoader(file: string, env: Record<string, string>) {
  const reader = new ConfigReader({ file, env });
  let before: Config | undefined;
  return async (changed?: readonly string[]): Promise<Config> =>
    (before = assemble(reader.read(changed), resolve(file), before));
}

/** The problems of files, a line each, with file names relative to their directory. */
export async function problemsOf(
  contents: Readonly<Record<string, string>>,
  env: Record<string, string> = {},
): Promise<string[]> {
  const files = await makeFiles(contents);
  try {
    await loadConfig(files.main, env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(formatProblem).map((line) => line.replaceAll(`${files.directory}/`, ''));
  } finally {
    await files.remove();
  }
}

/** A sound app file, with further lines. */
export function appYaml(name: string, lines = ''): string {
  return `name: ${name}\ndomains: [${name}.localhost]\nruntime: process\ncommand: [node, server.js]\n${lines}`;
}

export const mainYaml = 'cmdb: lmdb:./data/cmdb\n';

import { dirname, resolve } from 'node:path';
import type { App } from '../model/app.js';
import type { Config, Settings } from './config.js';
import type { Report } from './explain.js';
import { formatListenAddress, isLoopback } from './listen-address.js';
import { normalisedDomains, resolveApp } from './resolve-app.js';
import { glob } from './glob.js';
import type { Environment } from './interpolate.js';
import { formatPath, type Path } from './path.js';
import { ConfigError, type Problem } from './problem.js';
import { showFile, type Source, type SourceDocument, sourceReader } from './read-source.js';
import { resolveSettings } from './resolve-settings.js';
import { type AppFile, appSchema } from './schema/app-file.js';
import { type MainFile, mainSchema } from './schema/main-file.js';

/**
 * Reads the main file and the app files it names. App patterns are relative to the directory of the main file; all
 * other paths are relative to the working directory. Throws a ConfigError that names every problem.
 */
export function loadConfig(file: string, env: Environment): Promise<Config> {
  return configLoader(file, env)();
}

/** As `loadConfig`, for loading again and again: files that did not change are not parsed again. */
export function configLoader(file: string, env: Environment): () => Promise<Config> {
  const main = resolve(file);
  const readMain = sourceReader(mainSchema, env);
  const readApp = sourceReader(appSchema, env);
  return async () => {
    const problems: Problem[] = [];
    const source = await readMain(main);
    const written = mainDocument(main, source, problems);
    const appPatterns = written ? patternsOf(written.value) : patternsOf(source?.unsound[0]);
    const apps = await readApps(main, appPatterns, readApp, problems);
    const documents = apps.flatMap((app) => app.source.documents);
    refuseTwins(documents, problems);
    const settings = written && resolveSettings(written.value, env, reporter(written.document, problems));
    // Without a sound main file nothing is known of plans and defaults.
    const resolved = written ? resolveApps(written.value, documents, problems) : [];
    if (written && settings) refuseSharedAdmin(settings, resolved, reporter(written.document, problems));
    if (problems.length > 0 || !settings) throw new ConfigError(problems);
    const files = [main, ...apps.map((app) => app.file)];
    return { ...settings, file: main, files, appPatterns, apps: resolved, appFiles: filesOf(apps) };
  };
}

/** Whoever can connect may ask: an app that shares the loopback must not. */
function refuseSharedAdmin({ admin, runtimes }: Settings, apps: readonly App[], report: Report): void {
  if ('path' in admin.listen || admin.token !== undefined || !isLoopback(admin.listen)) return;
  const onHostNetwork = runtimes.docker.network === 'host' ? ['docker'] : [];
  const sharing = apps.find(({ runtime }) => ['process', ...onHostNetwork].includes(runtime));
  if (!sharing) return;
  const at = formatListenAddress(admin.listen);
  report(
    ['admin', 'token'],
    `is required: app ${sharing.name} can connect to ${at}, like every app of this machine that has its network; set it, or leave admin.listen to its socket`,
  );
}

/** Also of a main file that is broken elsewhere, so that the problems of its apps are named in the same run. */
function patternsOf(main: unknown): string[] {
  if (typeof main !== 'object' || main === null) return [];
  const { apps = mainSchema.properties.apps.default } = main as { apps?: unknown };
  return [apps].flat().filter((pattern) => typeof pattern === 'string');
}

function mainDocument(
  file: string,
  source: Source | undefined,
  problems: Problem[],
): { value: MainFile; document: SourceDocument } | undefined {
  const fail = (message: string) => void problems.push({ file: showFile(file), line: 1, path: '', message });
  if (!source) return fail('does not exist; name the main file with --config FILE');
  problems.push(...source.problems);
  const [document, second] = source.documents;
  if (source.empty) return fail('is empty; it needs at least one key, such as cmdb: lmdb:./data/cmdb');
  if (second) return fail('holds several documents; the main file is one, only app files may be divided by ---');
  return document && { value: document.value as MainFile, document };
}

interface AppSource {
  readonly file: string;
  readonly source: Source;
}

async function readApps(
  main: string,
  patterns: readonly string[],
  read: (file: string) => Promise<Source | undefined>,
  problems: Problem[],
): Promise<AppSource[]> {
  const sources: AppSource[] = [];
  const files = await findApps(main, patterns, problems);
  // A batch at a time: thousands of files at once would run out of descriptors.
  for (let start = 0; start < files.length; start += 64) {
    const batch = files.slice(start, start + 64);
    const read64 = await Promise.all(batch.map(async (file) => ({ file, source: await read(file) })));
    for (const { file, source } of read64) if (source) sources.push({ file, source });
  }
  for (const { file, source } of sources) {
    problems.push(...source.problems);
    if (!source.empty) continue;
    problems.push({
      file: showFile(file),
      line: 1,
      path: '',
      message: 'is empty; an app needs name, domains and runtime',
    });
  }
  return sources;
}

function filesOf(apps: readonly AppSource[]): Record<string, string> {
  return Object.fromEntries(
    apps.flatMap(({ file, source }) => source.documents.map(({ value }) => [(value as AppFile).name, file])),
  );
}

async function findApps(main: string, patterns: readonly string[], problems: Problem[]): Promise<string[]> {
  try {
    const files = await glob(patterns, dirname(main)).find();
    return files.filter((file) => file !== main);
  } catch (error) {
    problems.push({
      file: showFile(main),
      line: 1,
      path: 'apps',
      message: `cannot be listed: ${(error as Error).message}`,
    });
    return [];
  }
}

function resolveApps(
  { plans = {}, defaults = {} }: MainFile,
  documents: readonly SourceDocument[],
  problems: Problem[],
): App[] {
  return documents.flatMap((document) => {
    const app = resolveApp(document.value as AppFile, { plans, defaults }, reporter(document, problems));
    return app ?? [];
  });
}

function reporter(document: SourceDocument, problems: Problem[]): (path: Path, message: string) => void {
  return (path, message) => {
    problems.push({ file: document.file, line: document.lineOf(path), path: formatPath(path), message });
  };
}

/** A name or domain belongs to one app. The later file is told; both places are named. */
function refuseTwins(documents: readonly SourceDocument[], problems: Problem[]): void {
  const names = new Map<string, SourceDocument>();
  const domains = new Map<string, { document: SourceDocument; app: string; path: Path }>();
  for (const document of documents) {
    const app = document.value as AppFile;
    const report = reporter(document, problems);
    const twin = names.get(app.name);
    if (twin) report(['name'], `app ${app.name} is also in ${twin.file}:${twin.lineOf(['name'])}`);
    else names.set(app.name, document);
    normalisedDomains(app).forEach((domain, index) => {
      const path: Path = typeof app.domains === 'string' ? ['domains'] : ['domains', index];
      const owner = domains.get(domain);
      if (!owner) domains.set(domain, { document, app: app.name, path });
      else if (owner.document !== document) {
        report(
          path,
          `${domain} belongs to app ${owner.app} already (${owner.document.file}:${owner.document.lineOf(owner.path)})`,
        );
      }
    });
  }
}

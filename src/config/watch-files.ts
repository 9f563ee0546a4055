import type { Dirent } from 'node:fs';
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import type { Config } from './config.js';
import { type Glob, glob } from './glob.js';

export interface FileWatch {
  /**
   * Watches what this configuration was read from, as it lies on disk now. Settles when changes from now on are seen.
   */
  follow(config: Config): Promise<void>;
  /** Re-entrant. */
  close(): Promise<void>;
}

/**
 * Watches directories, never single files: a file that is replaced by renaming would be lost from sight. Directories
 * that symbolic links lead through count as well, and where one does not exist yet, the nearest one above it.
 */
export function watchFiles(onChange: () => void, onError: (error: Error) => void): FileWatch {
  /** By path and inode: a directory that took another's place is another one. */
  let watchers = new Map<string, FSWatcher>();
  let closed = false;

  const open = async (directory: string, config: Config): Promise<FSWatcher> => {
    const apps = glob(config.appPatterns, dirname(config.file));
    const isOurs = (path: string) => path === config.file || apps.matches(path) || config.files.includes(path);
    const watcher = watch(directory, {
      ignoreInitial: true,
      depth: 0,
      ignored: (path, stats) => stats?.isFile() === true && !isOurs(path),
    });
    watcher.on('all', onChange);
    // chokidar keeps quiet about links that change their target, the kernel does not.
    watcher.on('raw', (_event, name, details) => {
      const path = pathOf(name, (details as { watchedPath?: string }).watchedPath ?? directory);
      if (isOurs(path)) onChange();
      else void leadsElsewhere(path).then((leads) => leads && onChange());
    });
    watcher.on('error', (error) => onError(asWatchError(directory, error)));
    await new Promise<void>((settle) => watcher.once('ready', settle));
    return watcher;
  };

  return {
    follow: async (config) => {
      const wanted = await directoriesOf(config);
      if (closed) return;
      const opened = [...wanted].map(
        async ([key, directory]) => [key, watchers.get(key) ?? (await open(directory, config))] as const,
      );
      const next = new Map(await Promise.all(opened));
      const isNews = [...next.keys()].some((key) => !watchers.has(key));
      const stale = [...watchers].filter(([key]) => !next.has(key)).map(([, watcher]) => watcher);
      watchers = next;
      await Promise.all((closed ? [...next.values()] : stale).map((watcher) => watcher.close()));
      // What changed between the load and the first sight is read now.
      if (isNews && !closed) onChange();
    },
    close: async () => {
      closed = true;
      await Promise.all([...watchers.values()].map((watcher) => watcher.close()));
    },
  };
}

/** Watched directories by path, inode and the patterns that decide what in them matters. */
async function directoriesOf(config: Config): Promise<Map<string, string>> {
  const { roots } = glob(config.appPatterns, dirname(config.file));
  const places = await Promise.all([
    ...config.files.map(async (file) => [dirname(file), dirname(await realpath(file).catch(() => file))]),
    ...roots.map(below),
  ]);
  const existing = await Promise.all([...new Set(places.flat())].map(nearestExisting));
  const all = await Promise.all([...new Set(existing)].map(async (path) => [path, ...(await parentsOfLinks(path))]));
  const keyed = [...new Set(all.flat())].map(async (path) => {
    const stats = await stat(path).catch(() => undefined);
    return [JSON.stringify([path, stats?.dev, stats?.ino, config.appPatterns]), path] as const;
  });
  return new Map(await Promise.all(keyed));
}

/** The directory and those in it that may hold matches. */
async function below({ directory, depth }: Glob['roots'][number]): Promise<string[]> {
  if (depth === 0) return [directory];
  const entries = await readdir(directory, { withFileTypes: true }).catch((): Dirent[] => []);
  const inner = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'));
  const deeper = await Promise.all(
    inner.map(({ name }) => below({ directory: join(directory, name), depth: depth - 1 })),
  );
  return [directory, ...deeper.flat()];
}

async function nearestExisting(path: string): Promise<string> {
  const exists = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  return exists || path === dirname(path) ? path : nearestExisting(dirname(path));
}

/** Where links on the way to a directory lie: there they are swapped. */
async function parentsOfLinks(path: string): Promise<string[]> {
  if (path === dirname(path)) return [];
  const isLink = await lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    () => false,
  );
  return [...(isLink ? [dirname(path)] : []), ...(await parentsOfLinks(dirname(path)))];
}

/** Whether it is a link or a directory, through which files may appear. */
function leadsElsewhere(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isSymbolicLink() || stats.isDirectory(),
    () => false,
  );
}

function pathOf(name: string | null, watched: string): string {
  return name === null || basename(watched) === name ? watched : join(watched, name);
}

function asWatchError(directory: string, cause: unknown): Error {
  const { message } = cause as Error;
  return new Error(`${directory} cannot be watched for changes (${message}); send SIGHUP to reload`, { cause });
}

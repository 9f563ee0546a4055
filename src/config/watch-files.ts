import { type FSWatcher, watch } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Config } from './config.js';
import { glob } from './glob.js';

export interface FileWatch {
  /** Watches what this configuration was read from. Changes from now on are seen. */
  follow(config: Pick<Config, 'file' | 'places'>): void;
  /** Files that changed since the last call; undefined: any may have. */
  changed(): readonly string[] | undefined;
  /** Re-entrant. */
  close(): void;
}

/** After more events than this between two readings any file may have changed: the kernel drops events beyond 16,384. */
const mostEvents = 1_000;

/**
 * Watches directories, never single files: the watch on a file ends when another file is renamed over it. Which directories
 * these are, see placesOf.
 */
export function watchFiles(onChange: () => void, onError: (error: Error) => void): FileWatch {
  /** By the keys of Places. */
  const watchers = new Map<string, FSWatcher>();
  let places: Config['places'] | undefined;
  let isOurs: (path: string) => boolean = () => false;
  let known: ReadonlySet<string> = new Set();
  let closed = false;
  let isReported = false;
  const changed = new Set<string>();
  let events = 0;

  /** `file` undefined: what changed is not known. */
  const note = (file?: string): void => {
    if (file === undefined) events = Infinity;
    else changed.add(file);
    onChange();
  };

  // Once: thousands of directories may be refused.
  const report = (directory: string, error: unknown): void => {
    if (!isReported) onError(asWatchError(directory, error));
    isReported = true;
  };

  const open = (key: string, directory: string): void => {
    try {
      const watcher = watch(directory, (_event, name) => {
        // An event of the directory itself carries its own name.
        const path = name === null || name === basename(directory) ? directory : join(directory, name);
        events += 1;
        if (path === directory || known.has(path)) note();
        else if (isOurs(path)) note(path);
        else void leadsElsewhere(path).then((leads) => leads && note());
      });
      watcher.on('error', (error) => report(directory, error));
      watchers.set(key, watcher);
    } catch (error) {
      report(directory, error);
    }
  };

  return {
    follow: (config) => {
      if (closed || config.places === places) return;
      places = config.places;
      const { patterns, targets, directories } = config.places;
      const files = glob(patterns, '/');
      const reached = new Set([config.file, ...targets]);
      isOurs = (path) => reached.has(path) || files.matches(path);
      const wanted = new Map(directories);
      known = new Set(wanted.values());
      for (const [key, watcher] of watchers) {
        if (wanted.has(key)) continue;
        watcher.close();
        watchers.delete(key);
      }
      let isNews = false;
      for (const [key, directory] of wanted) {
        if (watchers.has(key)) continue;
        open(key, directory);
        isNews = true;
      }
      // Files may have changed between the reading and the start of the watch.
      if (isNews) note();
    },
    changed: () => {
      const files = events > mostEvents ? undefined : [...changed];
      changed.clear();
      events = 0;
      return files;
    },
    close: () => {
      closed = true;
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}

/** Whether it is a link or a directory, through which files may appear. */
function leadsElsewhere(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isSymbolicLink() || stats.isDirectory(),
    () => false,
  );
}

function asWatchError(directory: string, cause: unknown): Error {
  const { message } = cause as Error;
  return new Error(
    `${directory} cannot be watched for changes (${message}); send SIGHUP to reload, or raise fs.inotify.max_user_watches`,
    { cause },
  );
}

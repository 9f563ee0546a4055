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

/** If more happens between two readings, the kernel may have dropped some of it: its queue takes 16,384 events. */
const mostEvents = 1_000;

/**
 * Watches directories, never single files: a file that is replaced by renaming would be lost from sight. Directories
 * that symbolic links lead through count as well, and where one does not exist yet, the nearest one above it.
 */
export function watchFiles(onChange: () => void, onError: (error: Error) => void): FileWatch {
  /** By path and inode: a directory that took another's place is another one. */
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

  // Of thousands of directories that cannot be watched one is named.
  const report = (directory: string, error: unknown): void => {
    if (!isReported) onError(asWatchError(directory, error));
    isReported = true;
  };

  const open = (key: string, directory: string): void => {
    try {
      const watcher = watch(directory, (_event, name) => {
        // What happens to the directory itself comes with its own name.
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
      // What changed between the reading and the first sight is read now.
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

import { dirname } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { describeChanges } from './changes.js';
import type { Config } from './config.js';
import { type Glob, glob } from './glob.js';

export interface WatchOptions {
  /** What is in force now. */
  readonly config: Config;
  /** Reads the files again; throws a ConfigError where they are wrong. See `configLoader`. */
  readonly load: () => Promise<Config>;
  /** Takes over a sound configuration that says something else. Where it throws, the old one stays and `onError` is told. */
  readonly onConfig: (next: Config, changes: string[]) => void | Promise<void>;
  /** The files are wrong (ConfigError) or cannot be watched; the old configuration stays as a whole. */
  readonly onError: (error: Error) => void;
  /** The files are sound again after an error, and say what is in force. */
  readonly onRestored?: () => void;
  /** How long the files must be quiet before they are read. Default 100 ms. */
  readonly debounceMs?: number;
}

export type ReloadResult = 'applied' | 'unchanged' | 'refused';

export interface ConfigWatch {
  /** Settles when changes from now on are seen. */
  readonly ready: Promise<void>;
  /** Reads the files now (SIGHUP). Errors go to `onError`. */
  reload(): Promise<ReloadResult>;
  /** Ends watching; a reload under way is waited for. Re-entrant. */
  close(): Promise<void>;
}

/** Reloads when the main file or an app file changes, appears, disappears or is replaced by renaming. */
export function watchConfig(options: WatchOptions): ConfigWatch {
  const { load, onConfig, onError, onRestored, debounceMs = 100 } = options;
  let current = options.config;
  let fault: string | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const read = async (asked: boolean): Promise<ReloadResult> => {
    if (closed) return 'unchanged';
    try {
      const next = await load();
      const changes = describeChanges(current, next);
      if (changes.length > 0) await onConfig(next, changes);
      else if (fault !== undefined) onRestored?.();
      if (String(next.appPatterns) !== String(current.appPatterns)) files.follow(next);
      current = next;
      fault = undefined;
      return changes.length > 0 ? 'applied' : 'unchanged';
    } catch (error) {
      const { message } = error as Error;
      // Editors touch a file several times; the same complaint is made once, unless the operator asked.
      if (asked || message !== fault) onError(error as Error);
      fault = message;
      return 'refused';
    }
  };
  const enqueue = (asked: boolean): Promise<ReloadResult> => {
    const result = queue.then(() => read(asked));
    queue = result.catch(() => undefined);
    return result;
  };
  const soon = () => {
    clearTimeout(timer);
    if (!closed) timer = setTimeout(() => void enqueue(false), debounceMs);
  };

  const files = watchFiles(current, soon, onError);
  return {
    ready: files.ready,
    reload: () => enqueue(true),
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await Promise.all([files.close(), queue]);
    },
  };
}

interface FileWatch {
  readonly ready: Promise<void>;
  /** Watches the directories of this configuration instead. */
  follow(config: Config): void;
  close(): Promise<void>;
}

/** Watches directories, never single files: a file that is replaced by renaming would be lost from sight. */
function watchFiles(config: Config, onChange: () => void, onError: (error: Error) => void): FileWatch {
  let watchers = open(config);
  // What changed between the load and the first sight is read now.
  const ready = watchers.ready.then(onChange);

  function open({ file, appPatterns }: Config): { all: FSWatcher[]; ready: Promise<void> } {
    const apps = glob(appPatterns, dirname(file));
    const roots: Glob['roots'] = [{ directory: dirname(file), depth: 0 }, ...apps.roots];
    const all = roots.map(({ directory, depth }) =>
      watch(directory, {
        ignoreInitial: true,
        ...(Number.isFinite(depth) && { depth }),
        ignored: (path, stats) => stats?.isFile() === true && path !== file && !apps.matches(path),
      })
        .on('all', onChange)
        .on('error', (error) => onError(asWatchError(directory, error))),
    );
    const allReady = all.map((watcher) => new Promise<void>((settle) => watcher.once('ready', settle)));
    return { all, ready: Promise.all(allReady).then(() => undefined) };
  }

  const close = async () => void (await Promise.all(watchers.all.map((watcher) => watcher.close())));
  return {
    ready,
    follow: (next) => {
      void close();
      watchers = open(next);
      void watchers.ready.then(onChange);
    },
    close,
  };
}

function asWatchError(directory: string, cause: unknown): Error {
  const { message } = cause as Error;
  return new Error(`${directory} cannot be watched for changes (${message}); send SIGHUP to reload`, { cause });
}

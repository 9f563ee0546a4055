import { describeChanges } from './changes.js';
import type { Config } from './config.js';
import { watchFiles } from './watch-files.js';

export interface WatchOptions {
  /** What is in force now. */
  readonly config: Config;
  /** Reads the files again; throws a ConfigError where they are wrong. See `configLoader`. */
  readonly load: () => Promise<Config>;
  /**
   * Takes over a sound configuration that says something else. Where it throws, the old one stays and `onError` is
   * told.
   */
  readonly onConfig: (next: Config, changes: string[]) => void | Promise<void>;
  /** The files are wrong (ConfigError) or cannot be watched; the old configuration stays as a whole. */
  readonly onError: (error: Error) => void;
  /** The files are sound again after an error, and say what is in force. */
  readonly onRestored?: () => void;
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

/**
 * How long the files must be quiet before they are read. Not shorter: chokidar keeps quiet about a file that changes
 * again within 50 ms, so what it did not tell must be on disk by the time of reading.
 */
const debounceMs = 100;

/** Reloads when the main file or an app file changes, appears, disappears or is replaced by renaming. */
export function watchConfig(options: WatchOptions): ConfigWatch {
  const { load, onConfig, onError, onRestored } = options;
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
      current = next;
      fault = undefined;
      return changes.length > 0 ? 'applied' : 'unchanged';
    } catch (error) {
      const { message } = error as Error;
      // Editors touch a file several times; the same complaint is made once, unless the operator asked.
      if (asked || message !== fault) onError(error as Error);
      fault = message;
      return 'refused';
    } finally {
      await files.follow(current);
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

  const files = watchFiles(soon, onError);
  return {
    ready: files.follow(current),
    reload: () => enqueue(true),
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await Promise.all([files.close(), queue]);
    },
  };
}

import { describeChanges } from './changes.js';
import type { Config } from './config.js';
import { formatProblem } from './problem.js';
import { watchFiles } from './watch-files.js';

export interface WatchOptions {
  /** What is in force now. */
  readonly config: Config;
  /** Reads the files again; throws a ConfigError if the main file is wrong. See ConfigThread.load. */
  readonly load: (changed?: readonly string[]) => Promise<Config>;
  /** Takes over a configuration that differs. If it throws, the old one stays and `onError` gets the error. */
  readonly onConfig: (next: Config, changes: string[]) => void | Promise<void>;
  /** The main file is wrong (ConfigError), or files cannot be watched. The old configuration stays. */
  readonly onError: (error: Error) => void;
  /** App files are wrong, in another way than before; what they said last stays in force. */
  readonly onProblems?: (problems: Config['problems']) => void;
  /** All files are sound again. */
  readonly onRestored?: () => void;
}

export type ReloadResult = 'applied' | 'unchanged' | 'refused';

export interface ConfigWatch {
  /** Reads the files now (SIGHUP). Errors go to `onError`. */
  reload(): Promise<ReloadResult>;
  /** Ends watching; a reload under way is waited for. Re-entrant. */
  close(): Promise<void>;
}

/** How long the files must be quiet before they are read. */
const quietMs = 100;
/** Longest time from the first change to the reading, however often files change. */
const longestWaitMs = 2_000;
/** The share of the time that reading may take if files change all the time. */
const readingShare = 0.2;
/** Longest rest after a reading that this share makes. */
const longestRestMs = 5_000;

/** Reloads when the main file or an app file changes, appears, disappears or is replaced by renaming. */
export function watchConfig(options: WatchOptions): ConfigWatch {
  const { load, onConfig, onError, onProblems, onRestored } = options;
  let current = options.config;
  let fault: string | undefined;
  let complaint = textOf(current);
  let queue: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let changedAt: number | undefined;
  let restUntil = 0;
  let closed = false;

  const take = async (next: Config, asked: boolean): Promise<ReloadResult> => {
    const changes = await describeChanges(current, next);
    if (changes.length > 0) await onConfig(next, changes);
    current = next;
    const text = textOf(next);
    // Editors write a file several times: the same problems are reported once, or if the operator asked.
    if (text === '' && (complaint !== '' || fault !== undefined)) onRestored?.();
    else if (text !== '' && (asked || text !== complaint)) onProblems?.(next.problems);
    complaint = text;
    fault = undefined;
    return changes.length > 0 ? 'applied' : 'unchanged';
  };
  const read = async (asked: boolean): Promise<ReloadResult> => {
    if (closed) return 'unchanged';
    const since = performance.now();
    changedAt = undefined;
    const changed = files.changed();
    try {
      return await take(await load(asked ? undefined : changed), asked);
    } catch (error) {
      if (closed) return 'unchanged';
      const { message } = error as Error;
      if (asked || message !== fault) onError(error as Error);
      fault = message;
      return 'refused';
    } finally {
      const now = performance.now();
      restUntil = now + Math.min(longestRestMs, (now - since) * (1 / readingShare - 1));
      files.follow(current);
    }
  };
  const enqueue = (asked: boolean): Promise<ReloadResult> => {
    const result = queue.then(() => read(asked));
    queue = result.catch(() => undefined);
    return result;
  };
  const soon = () => {
    if (closed) return;
    const now = performance.now();
    changedAt ??= now;
    const at = Math.max(restUntil, Math.min(now + quietMs, changedAt + longestWaitMs));
    clearTimeout(timer);
    timer = setTimeout(() => void enqueue(false), at - now);
  };

  const files = watchFiles(soon, onError);
  files.follow(current);
  return {
    reload: () => enqueue(true),
    close: async () => {
      closed = true;
      clearTimeout(timer);
      files.close();
      await queue;
    },
  };
}

function textOf({ problems }: Config): string {
  return problems.map(formatProblem).join('\n');
}

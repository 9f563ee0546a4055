import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';

/**
 * File patterns made absolute: `*`, `?`, `[abc]`, `{a,b}` and `**` for any number of directories. `*` skips dot files.
 */
export interface Glob {
  /** Directories that hold every match, and how many levels below them matches lie (Infinity with `**`). */
  readonly roots: readonly { readonly directory: string; readonly depth: number }[];
  /**
   * Absolute paths of what matches, sorted; a directory that does not exist holds nothing. Throws where one cannot be
   * read.
   */
  find(): Promise<string[]>;
  /** Whether this absolute path matches. */
  matches(path: string): boolean;
}

export function glob(patterns: readonly string[], baseDirectory: string): Glob {
  const parsed = patterns.flatMap(expandBraces).map((pattern) => parse(resolve(baseDirectory, pattern)));
  return {
    roots: parsed.map(({ directory, rest }) => ({
      directory,
      depth: rest.includes(anyDepth) ? Infinity : rest.length - 1,
    })),
    find: async () => {
      const found = await Promise.all(parsed.map(({ directory, rest }) => walk(directory, rest)));
      return [...new Set(found.flat())].toSorted();
    },
    matches: (path) =>
      parsed.some(({ directory, rest }) => {
        const prefix = directory === sep ? sep : directory + sep;
        return path.startsWith(prefix) && fits(rest, path.slice(prefix.length).split(sep));
      }),
  };
}

const anyDepth = '**';
type Segment = RegExp | typeof anyDepth;

interface Parsed {
  readonly directory: string;
  readonly rest: readonly Segment[];
}

/** The leading segments without wildcards are the directory; the last segment never is. */
function parse(pattern: string): Parsed {
  const segments = pattern.split(sep).slice(1);
  const firstWild = segments.findIndex((segment) => /[*?[]/.test(segment));
  const split = firstWild === -1 ? segments.length - 1 : firstWild;
  return { directory: sep + segments.slice(0, split).join(sep), rest: segments.slice(split).map(toSegment) };
}

function toSegment(text: string): Segment {
  if (text === anyDepth) return anyDepth;
  const source = text.replace(/\[[^\]]+\]|[*?]|[.+^${}()|[\]\\]/g, (part) => {
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    return part.length > 1 ? part.replace(/^\[!/, '[^').replaceAll('\\', '\\\\') : `\\${part}`;
  });
  return new RegExp(/^[*?[]/.test(text) ? `^(?!\\.)${source}$` : `^${source}$`);
}

function fits(pattern: readonly Segment[], path: readonly string[]): boolean {
  const [segment, ...rest] = pattern;
  const [name, ...deeper] = path;
  if (segment === undefined) return path.length === 0;
  if (segment === anyDepth)
    return fits(rest, path) || (name !== undefined && !name.startsWith('.') && fits(pattern, deeper));
  return name !== undefined && segment.test(name) && fits(rest, deeper);
}

async function walk(directory: string, pattern: readonly Segment[]): Promise<string[]> {
  const [segment, ...rest] = pattern;
  if (segment === undefined) return [];
  const entries = await entriesOf(directory);
  if (segment === anyDepth) {
    const deeper = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'));
    const below = await Promise.all(deeper.map((entry) => walk(join(directory, entry.name), pattern)));
    return [...(await walk(directory, rest)), ...below.flat()];
  }
  const named = entries
    .filter((entry) => segment.test(entry.name))
    .map((entry) => ({ entry, path: join(directory, entry.name) }));
  if (rest.length === 0) return named.map(({ path }) => path);
  const found = await Promise.all(
    named.map(async (it) => ((await isDirectory(it.entry, it.path)) ? walk(it.path, rest) : [])),
  );
  return found.flat();
}

async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

async function isDirectory(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** `a{b,c}d` is `abd` and `acd`; braces may not be nested. */
function expandBraces(pattern: string): string[] {
  const match = /^(.*?)\{([^{}]*,[^{}]*)\}(.*)$/.exec(pattern);
  if (!match) return [pattern];
  return match[2]!.split(',').flatMap((choice) => expandBraces(`${match[1]}${choice}${match[3]}`));
}

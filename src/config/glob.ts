import { type Dirent, opendirSync, statSync } from 'node:fs';
import { join, resolve, sep } from 'node:path';

/**
 * File patterns made absolute: `*`, `?`, `[abc]`, `{a,b}` and `**` for any number of directories. `*` skips dot files.
 */
export interface Glob {
  /** Directories that hold every match. */
  readonly roots: readonly string[];
  /** What matches now. Blocks: call it in the reading thread, or before the start. */
  find(manner?: WalkManner): Found;
  /** Whether this absolute path matches. */
  matches(path: string): boolean;
}

export interface Found {
  /** Absolute paths, sorted. A directory that does not exist holds nothing. */
  readonly files: readonly string[];
  /** Those of them that are symbolic links. */
  readonly links: readonly string[];
  /** Files that would match if they ended in `.yaml` and not in `.yml`, or the other way round. */
  readonly misspelt: readonly string[];
  /** Directories that were listed. */
  readonly directories: readonly string[];
  /** Directories that cannot be listed, and why. */
  readonly unlisted: readonly Unlisted[];
}

export interface Unlisted {
  readonly directory: string;
  readonly fault: string;
}

export interface WalkManner {
  /** Whether symbolic links to directories are followed. */
  readonly followLinks: boolean;
  /** The most entries a directory below the first wildcard may have; one with more is not listed. */
  readonly mostEntries: number;
}

const freely: WalkManner = { followLinks: true, mostEntries: Infinity };

export function glob(patterns: readonly string[], baseDirectory: string): Glob {
  const parsed = patterns.flatMap(expandBraces).map((pattern) => parse(resolve(baseDirectory, pattern)));
  return {
    roots: parsed.map(({ directory }) => directory),
    find: (manner = freely) => {
      const walk = new Walk(manner);
      for (const { directory, rest } of parsed) walk.visit(directory, rest, true);
      return walk.found();
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

class Walk {
  readonly #files = new Map<string, Dirent>();
  readonly #misspelt = new Set<string>();
  readonly #directories = new Set<string>();
  readonly #unlisted: Unlisted[] = [];
  readonly #manner: WalkManner;

  constructor(manner: WalkManner) {
    this.#manner = manner;
  }

  found(): Found {
    const files = [...this.#files.keys()].toSorted();
    const links = files.filter((file) => this.#files.get(file)?.isSymbolicLink());
    const misspelt = [...this.#misspelt].toSorted();
    return { files, links, misspelt, directories: [...this.#directories], unlisted: this.#unlisted };
  }

  visit(directory: string, pattern: readonly Segment[], isRoot: boolean): void {
    const [segment, ...rest] = pattern;
    if (segment === undefined) return;
    const entries = this.#entriesOf(directory, isRoot);
    if (segment === anyDepth) this.#visitAnyDepth(directory, entries, pattern, isRoot);
    else this.#visitMatches(directory, entries, segment, rest);
  }

  #visitAnyDepth(directory: string, entries: readonly Dirent[], pattern: readonly Segment[], isRoot: boolean): void {
    this.visit(directory, pattern.slice(1), isRoot);
    for (const entry of entries)
      if (entry.isDirectory() && !entry.name.startsWith('.')) this.visit(join(directory, entry.name), pattern, false);
  }

  #visitMatches(directory: string, entries: readonly Dirent[], segment: RegExp, rest: readonly Segment[]): void {
    for (const entry of entries) {
      const path = join(directory, entry.name);
      if (!segment.test(entry.name)) {
        if (rest.length === 0 && segment.test(otherSpelling(entry.name))) this.#misspelt.add(path);
        continue;
      }
      if (rest.length === 0) this.#files.set(path, entry);
      else if (this.#isDirectory(entry, path)) this.visit(path, rest, false);
    }
  }

  #entriesOf(directory: string, isRoot: boolean): Dirent[] {
    const most = isRoot ? Infinity : this.#manner.mostEntries;
    const entries: Dirent[] = [];
    try {
      const listing = opendirSync(directory, { bufferSize: 1024 });
      try {
        for (let entry = listing.readSync(); entry; entry = listing.readSync()) {
          if (entries.push(entry) > most) throw new Error(`holds more than ${most} entries`);
        }
      } finally {
        listing.closeSync();
      }
      this.#directories.add(directory);
      return entries;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (!['ENOENT', 'ENOTDIR'].includes(code ?? '')) this.#unlisted.push({ directory, fault: message });
      return [];
    }
  }

  #isDirectory(entry: Dirent, path: string): boolean {
    if (!entry.isSymbolicLink()) return entry.isDirectory();
    try {
      return this.#manner.followLinks && statSync(path).isDirectory();
    } catch {
      return false;
    }
  }
}

/** The name with `.yml` for `.yaml`, and the other way round. */
function otherSpelling(name: string): string {
  return name.endsWith('.yml') ? name.replace(/\.yml$/, '.yaml') : name.replace(/\.yaml$/, '.yml');
}

/** `a{b,c}d` is `abd` and `acd`; braces may not be nested. */
function expandBraces(pattern: string): string[] {
  const match = /^(.*?)\{([^{}]*,[^{}]*)\}(.*)$/.exec(pattern);
  if (!match) return [pattern];
  return match[2]!.split(',').flatMap((choice) => expandBraces(`${match[1]}${choice}${match[3]}`));
}

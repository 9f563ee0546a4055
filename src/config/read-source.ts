import { lstat, readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { isAbsolute, relative } from 'node:path';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { explain } from './explain.js';
import type { Environment } from './interpolate.js';
import { formatPath, type Path } from './path.js';
import type { Problem } from './problem.js';
import type { Shape } from './shape.js';
import { parseYaml } from './yaml-file.js';
import { yamlValue } from './yaml-value.js';

/** One YAML document that passed its schema. */
export interface SourceDocument {
  readonly file: string;
  readonly value: unknown;
  readonly lineOf: (path: Path) => number;
}

/** A file as it was read. `problems` says what is wrong with it. */
export interface Source {
  readonly text: string;
  /** Whether it holds nothing but comments and white space. */
  readonly empty: boolean;
  readonly documents: readonly SourceDocument[];
  /** Values of documents that broke their schema, to look at with care. */
  readonly unsound: readonly unknown[];
  readonly problems: readonly Problem[];
}

export type SourceReader = (file: string) => Promise<Source | undefined>;

const largestFile = 1024 ** 2;

/**
 * A reader of files of one schema. It remembers what it read: a file whose text is the same is not parsed again, so
 * that a reload costs what changed. The reader resolves to undefined where the file does not exist (any more).
 */
export function sourceReader(schema: TSchema, env: Environment): SourceReader {
  const validator = Compile(schema);
  const known = new Map<string, Source>();
  return async (file) => {
    const content = await readText(file);
    if (content === undefined || 'fault' in content) known.delete(file);
    if (content === undefined) return undefined;
    if ('fault' in content) {
      const problem = { file: showFile(file), line: 1, path: '', message: content.fault };
      return { text: '', empty: false, documents: [], unsound: [], problems: [problem] };
    }
    const before = known.get(file);
    if (before?.text === content.text) return before;
    const source = parse(file, content.text, env, schema as Shape, (value) => validator.Check(value));
    known.set(file, source);
    return source;
  };
}

/** How messages name a file: relative to the working directory where it lies below it. */
export function showFile(file: string): string {
  const path = relative(process.cwd(), file);
  return path === '' || path.startsWith('..') || isAbsolute(path) ? file : path;
}

function parse(
  file: string,
  text: string,
  env: Environment,
  shape: Shape,
  isSound: (value: unknown) => boolean,
): Source {
  const shown = showFile(file);
  const yaml = parseYaml(text);
  const problems: Problem[] = yaml.faults.map((fault) => ({ file: shown, path: '', ...fault }));
  const unsound: unknown[] = [];
  const documents = yaml.documents.flatMap(({ document, lineOf }, index): SourceDocument[] => {
    const found = new Map<string, Problem>();
    // The first word on a path stands: a variable that is missing explains what the schema says about its place.
    const report = (path: Path, message: string) => {
      const key = formatPath(path);
      if (!found.has(key)) found.set(key, { file: shown, line: lineOf(path), path: key, message });
    };
    const value = yamlValue(document, shape, env, report);
    if (!found.has('') && !isSound(value)) {
      explain(shape, value, [], report);
      if (found.size === 0) report([], 'does not fit the schema');
    }
    problems.push(...found.values());
    if (found.size === 0) return [{ file: shown, value, lineOf: lineFinder(text, index) }];
    unsound.push(value);
    return [];
  });
  return { text, empty: yaml.documents.length === 0 && yaml.faults.length === 0, documents, unsound, problems };
}

/** Parses again when a line is asked for, which is rare: a thousand parsed files are not kept for it. */
function lineFinder(text: string, index: number): SourceDocument['lineOf'] {
  return (path) => parseYaml(text).documents[index]?.lineOf(path) ?? 1;
}

async function readText(file: string): Promise<{ text: string } | { fault: string } | undefined> {
  try {
    const stats = await stat(file);
    if (stats.isDirectory()) return { fault: 'is a directory, not a file' };
    if (!stats.isFile()) return { fault: 'is not a regular file' };
    if (stats.size > largestFile) return { fault: 'is larger than 1 MiB; is it the right file?' };
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file)) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return danglingLink(file);
    if (code === 'EACCES') return { fault: `cannot be read: permission denied for user ${userInfo().username}` };
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return { fault: 'is not UTF-8 text' };
    return { fault: `cannot be read: ${message}` };
  }
}

async function danglingLink(file: string): Promise<{ fault: string } | undefined> {
  const link = await lstat(file).catch(() => undefined);
  return link && { fault: 'is a symbolic link to a file that does not exist' };
}

import type { TSchema } from '../../model/schema/typebox.js';
import { explain } from '../explain.js';
import type { Interpolate } from '../interpolate.js';
import { formatPath, type Path, showFile } from '../path.js';
import { type Problem, problemAt } from '../problem.js';
import { isMapping, type Shape } from '../../model/schema/shape.js';
import { mostFaults, parseYaml, type YamlBounds } from '../yaml-file.js';
import { yamlValue } from '../yaml-value.js';
import { readText, signatureAt, type TextTerms } from './read-text.js';

/** One YAML document that passed its schema. */
export interface SourceDocument {
  /** As messages name it. */
  readonly file: string;
  readonly value: unknown;
  readonly lineOf: (path: Path) => number;
}

/** A file as it was read. `problems` says what is wrong with it. */
export interface Source {
  readonly text: string;
  /** It holds nothing but comments and white space. */
  readonly empty: boolean;
  readonly documents: readonly SourceDocument[];
  /** Values of documents that do not fit their schema. */
  readonly unsound: readonly unknown[];
  readonly problems: readonly Problem[];
}

/** How files of one kind are read. */
export interface Manner {
  readonly schema: TSchema;
  /** Whether a value fits the schema. */
  readonly isSound: (value: unknown) => boolean;
  readonly interpolate: Interpolate;
  readonly mostBytes: number;
  readonly yaml: YamlBounds;
  /** Why a key may not be used, even if the schema has it. */
  readonly keyFault?: (key: string) => string | undefined;
  /** See ConfigReaderOptions. */
  readonly skip?: ReadonlyMap<string, string> | undefined;
  readonly onDocument?: ((file: string) => void) | undefined;
}

/** Reads files of one kind, and parses only those that changed. Blocks. */
export class SourceReader {
  readonly #manner: Manner;
  readonly #known = new Map<string, { source: Source; signature: string | undefined }>();

  constructor(manner: Manner) {
    this.#manner = manner;
    const terms = { mostBytes: manner.mostBytes };
    for (const [file, fault] of manner.skip ?? [])
      this.#known.set(file, { source: unread(file, fault), signature: signatureAt(file, terms) });
  }

  /**
   * Undefined if there is no such file. The same object while its content is the same. `strangersBelow`: see TextTerms.
   */
  read(file: string, strangersBelow?: string): Source | undefined {
    const known = this.#known.get(file);
    const { mostBytes } = this.#manner;
    const terms: TextTerms = { mostBytes, ...(strangersBelow !== undefined && { strangersBelow }) };
    if (known?.signature !== undefined && known.signature === signatureAt(file, terms)) return known.source;
    const reading = readText(file, terms);
    if (reading === undefined || 'fault' in reading) this.#known.delete(file);
    if (reading === undefined) return undefined;
    if ('fault' in reading) {
      return unread(file, reading.fault);
    }
    const { text, isSettled } = reading;
    const source = known?.source.text === text ? known.source : this.#parse(file, text);
    this.#known.set(file, { source, signature: isSettled ? reading.signature : undefined });
    return source;
  }

  /** Forgets all other files. */
  keep(files: { has(file: string): boolean }): void {
    for (const file of this.#known.keys()) if (!files.has(file)) this.#known.delete(file);
  }

  #parse(file: string, text: string): Source {
    const shown = showFile(file);
    const { yaml: bounds, onDocument } = this.#manner;
    const yaml = parseYaml(text, bounds, () => onDocument?.(file));
    onDocument?.('');
    const problems = yaml.faults.map(({ line, message }) => problemAt(shown, line, '', message));
    const unsound: unknown[] = [];
    const documents = yaml.documents.flatMap(({ document, lineOf }, index): SourceDocument[] => {
      const found = new FoundProblems(shown, lineOf);
      const value = found.collect((report) => this.#value(document, report, found));
      problems.push(...found.list);
      if (found.list.length === 0) return [{ file: shown, value, lineOf: lineFinder(text, index, bounds) }];
      unsound.push(value);
      return [];
    });
    const empty = yaml.documents.length === 0 && yaml.faults.length === 0;
    return { text, empty, documents, unsound, problems: problems.slice(0, mostFaults) };
  }

  #value(document: Parameters<typeof yamlValue>[0], report: Report, found: FoundProblems): unknown {
    const { schema, isSound, interpolate, keyFault, yaml } = this.#manner;
    const shape = schema as Shape;
    const value = yamlValue(document, shape, interpolate, report);
    for (const key of isMapping(value) ? Object.keys(value) : []) {
      const fault = keyFault?.(key);
      if (fault !== undefined) report([key], fault);
    }
    if (!found.isWhole && !isSound(value)) {
      explain(shape, value, [], report, yaml.quotes);
      if (found.list.length === 0) report([], 'does not fit the schema');
    }
    return value;
  }
}

type Report = (path: Path, message: string) => void;

class Enough extends Error {}

/** Keeps the first problem of each path: a missing variable explains why its value does not fit the schema. */
class FoundProblems {
  readonly #found = new Map<string, Problem>();
  readonly #file: string;
  readonly #lineOf: (path: Path) => number;

  constructor(file: string, lineOf: (path: Path) => number) {
    this.#file = file;
    this.#lineOf = lineOf;
  }

  get list(): readonly Problem[] {
    return [...this.#found.values()];
  }

  /** The document as a whole is at fault. */
  get isWhole(): boolean {
    return this.#found.has('');
  }

  /** What `work` returns; undefined if it was broken off because enough was found. */
  collect(work: (report: Report) => unknown): unknown {
    try {
      return work((path, message) => {
        const key = formatPath(path);
        if (this.#found.has(key)) return;
        this.#found.set(key, problemAt(this.#file, this.#lineOf(path), key, message));
        if (this.#found.size >= mostFaults) throw new Enough();
      });
    } catch (error) {
      if (error instanceof Enough) return undefined;
      throw error;
    }
  }
}

function unread(file: string, fault: string): Source {
  return { text: '', empty: false, documents: [], unsound: [], problems: [problemAt(showFile(file), 1, '', fault)] };
}

/** Parses again when a line is asked for, which is rare; parsed files are not kept in memory for it. */
function lineFinder(text: string, index: number, bounds: YamlBounds): SourceDocument['lineOf'] {
  return (path) => parseYaml(text, bounds).documents[index]?.lineOf(path) ?? 1;
}

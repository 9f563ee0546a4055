import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  parseAllDocuments,
} from '../libraries/yaml.js';
import { type Path, shorten } from './path.js';

export interface YamlDocument {
  readonly document: Document;
  /** Line of the key or list item at the path, or of what is nearest above it. */
  lineOf(path: Path): number;
}

export interface YamlFault {
  readonly line: number;
  readonly message: string;
}

export interface YamlFile {
  /** Without empty ones; none if there are faults. */
  readonly documents: readonly YamlDocument[];
  /** At most `mostFaults`. */
  readonly faults: readonly YamlFault[];
}

/** Limits of a file; what exceeds them is not parsed. */
export interface YamlBounds {
  /** Whether messages may quote more of the file than its keys. */
  readonly quotes: boolean;
  readonly documents: number;
  /** Bytes of one document. */
  readonly documentBytes: number;
  /** Words, brackets, line breaks and the like in one document: what parsing costs. */
  readonly documentTokens: number;
}

export const operatorBounds: YamlBounds = {
  quotes: true,
  documents: 1_000,
  documentBytes: 64 * 1024,
  documentTokens: 20_000,
};

/** Faults that are reported of one file. */
export const mostFaults = 10;

/**
 * Parses YAML 1.2 without anchors and aliases. Duplicate keys and unknown tags are faults. Never throws, and takes time in
 * proportion to the length of the text. Calls `onDocument` before each document.
 */
export function parseYaml(text: string, bounds: YamlBounds, onDocument: () => void = () => {}): YamlFile {
  const documents: YamlDocument[] = [];
  const faults: YamlFault[] = [];
  let found = 0;
  for (const part of partsOf(text)) {
    if (++found > bounds.documents) {
      faults.push({ line: part.line, message: `holds more than ${bounds.documents} documents; divide the file` });
      break;
    }
    const oversize = sizeFault(part, bounds);
    onDocument();
    const parsed = oversize === undefined ? parsePart(part, bounds) : { documents: [], faults: [oversize] };
    // A part may hold several documents, divided by `...`.
    found += Math.max(0, parsed.documents.length - 1);
    documents.push(...parsed.documents);
    faults.push(...parsed.faults);
    if (faults.length >= mostFaults) break;
  }
  const sorted = faults.toSorted((a, b) => a.line - b.line).slice(0, mostFaults);
  return { documents: sorted.length > 0 ? [] : documents, faults: sorted };
}

interface Part {
  readonly text: string;
  /** In the file, of its first character. */
  readonly line: number;
}

/** A line that begins with --- begins a document wherever it stands (YAML 1.2, 9.1.2). */
function* partsOf(text: string): Generator<Part> {
  const marker = /(?:^|\n)(?=---(?:[ \t\r\n]|$))/g;
  let line = 1;
  let start = 0;
  for (;;) {
    marker.lastIndex = start;
    let match = marker.exec(text);
    // Not the marker that this part begins with.
    if (match && match.index + match[0].length === start) {
      marker.lastIndex = start + 1;
      match = marker.exec(text);
    }
    const end = match ? match.index + match[0].length : text.length;
    const part = text.slice(start, end);
    if (!isPreamble(part)) yield { text: part, line };
    if (!match) return;
    line += linesIn(part);
    start = end;
  }
}

/** Comments and directives such as %YAML 1.2 in front of a document. */
function isPreamble(part: string): boolean {
  return /^(?:[ \t\uFEFF]*(?:#[^\n]*)?\r?\n|%[^\n]*\r?\n)*[ \t\uFEFF]*(?:#[^\n]*)?$/.test(part);
}

function linesIn(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines += 1;
  return lines;
}

function sizeFault({ text, line }: Part, { documentBytes, documentTokens }: YamlBounds): YamlFault | undefined {
  if (Buffer.byteLength(text) > documentBytes)
    return { line, message: `holds a document of more than ${documentBytes / 1024} KiB` };
  // A deep run of block indicators makes the parser compile a regular expression that aborts the process.
  const deep = /^[ \t?:-]{500,}/m.exec(text);
  if (deep) return { line: line + linesIn(text.slice(0, deep.index)), message: tooDeep };
  let tokens = 0;
  for (const _token of new Lexer().lex(text))
    if (++tokens > documentTokens)
      return { line, message: `holds a document of more than ${documentTokens} words and signs` };
  return undefined;
}

function parsePart({ text, line: firstLine }: Part, { quotes }: YamlBounds): YamlFile {
  const lines = new LineCounter();
  const lineAt = (offset: number) => firstLine - 1 + Math.max(1, lines.linePos(offset).line);
  let parsed: Document[];
  try {
    // The check for duplicate keys of the library takes quadratic time.
    const options = { lineCounter: lines, prettyErrors: false, stringKeys: false, uniqueKeys: false };
    parsed = parseAllDocuments(text, options) as Document[];
  } catch (error) {
    const message = error instanceof RangeError ? tooDeep : 'is not valid YAML';
    return { documents: [], faults: [{ line: firstLine, message }] };
  }
  const faults = new FaultList(lineAt);
  for (const document of parsed) {
    for (const { code, pos, message } of document.errors) faults.add(pos[0], describe(code, message, quotes));
    for (const { code, pos, message } of document.warnings) faults.add(pos[0], describe(code, message, quotes));
    if (faults.list.length === 0) findForbidden(document, faults);
  }
  if (faults.list.length > 0) return { documents: [], faults: faults.list };
  const documents = parsed
    .filter(({ contents }) => contents !== null && !(isScalar(contents) && contents.value === null))
    .map((document) => ({ document, lineOf: (path: Path) => lineAt(offsetOf(document, path)) }));
  return { documents, faults: [] };
}

/** Faults without repetitions: one slip often breaks several rules of the grammar at the same place. */
class FaultList {
  readonly list: YamlFault[] = [];
  readonly #lineAt: (offset: number) => number;

  constructor(lineAt: (offset: number) => number) {
    this.#lineAt = lineAt;
  }

  add(offset: number, message: string): void {
    if (this.list.length >= mostFaults) return;
    const line = this.#lineAt(offset);
    if (!this.list.some((fault) => fault.line === line && fault.message === message)) this.list.push({ line, message });
  }
}

const tooDeep = 'is nested too deeply';

/** Anchors, aliases and duplicate keys. Not by recursion: a document may be deep. */
function findForbidden(document: Document, faults: FaultList): void {
  const open: unknown[] = [document.contents];
  while (open.length > 0) {
    const node = open.pop();
    if (isAlias(node)) faults.add(node.range?.[0] ?? 0, aliasFault(node.source));
    else if (isMap(node)) {
      const seen = new Set<string>();
      for (const { key } of node.items) {
        if (!isScalar(key)) continue;
        const name = key.source ?? String(key.value);
        if (seen.has(name)) faults.add(key.range?.[0] ?? 0, `duplicate key ${shorten(name)}`);
        seen.add(name);
      }
      for (const item of node.items) open.push(item);
    } else if (isSeq(node)) for (const item of node.items) open.push(item);
    else if (isPair(node)) open.push(node.key, node.value);
    if ((isMap(node) || isSeq(node) || isScalar(node)) && node.anchor !== undefined)
      faults.add(node.range?.[0] ?? 0, 'anchors (&name) are not supported; write the value out where it is needed');
  }
}

/** A wildcard that is not quoted looks like an alias. */
function aliasFault(name: string): string {
  return /^[.*?]|\./.test(name)
    ? "text that begins with * has to be quoted, as in '*.example.org'"
    : 'aliases (*name) are not supported; write the value out';
}

function describe(code: string, message: string, quotes: boolean): string {
  if (message.includes('call stack')) return tooDeep;
  const [words = ''] = message.split('\n');
  const why = quotes ? words.charAt(0).toLowerCase() + words.slice(1) : code.toLowerCase().replaceAll('_', ' ');
  return `is not valid YAML: ${why}`;
}

function offsetOf(document: Document, path: Path): number {
  let node = document.contents as Node | null;
  let offset = node?.range?.[0] ?? 0;
  for (const step of path) {
    const next = childAt(node, step);
    if (!next) break;
    offset = next.at?.range?.[0] ?? offset;
    node = next.value;
  }
  return offset;
}

function childAt(node: Node | null, step: string | number): { at: Node | null; value: Node | null } | undefined {
  if (isSeq(node) && typeof step === 'number') {
    const item = node.items[step] as Node | undefined;
    return item && { at: item, value: item };
  }
  if (!isMap(node)) return undefined;
  const pair = node.items.find(({ key }) => isScalar(key) && (key.source ?? String(key.value)) === step);
  return pair && { at: pair.key as Node, value: pair.value as Node | null };
}

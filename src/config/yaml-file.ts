import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml';
import type { Path } from './path.js';

export interface YamlDocument {
  readonly document: Document;
  /** Line of the key or list item at the path, or of what is nearest above it. */
  lineOf(path: Path): number;
}

export interface YamlFile {
  /** Without empty ones; none where there are faults. */
  readonly documents: readonly YamlDocument[];
  readonly faults: readonly { readonly line: number; readonly message: string }[];
}

/** Parses YAML 1.2. Duplicate keys and unknown tags are faults; broken input never throws. */
export function parseYaml(text: string): YamlFile {
  // A deep run of block indicators makes the parser compile a regular expression that aborts the process.
  const deep = /^[ \t?:-]{500,}/m.exec(text);
  if (deep)
    return { documents: [], faults: [{ line: text.slice(0, deep.index).split('\n').length, message: tooDeep }] };
  const lines = new LineCounter();
  const lineAt = (offset: number) => Math.max(1, lines.linePos(offset).line);
  let parsed: Document[];
  try {
    parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, stringKeys: false }) as Document[];
  } catch (error) {
    const message = error instanceof RangeError ? tooDeep : `is not valid YAML: ${(error as Error).message}`;
    return { documents: [], faults: [{ line: 1, message }] };
  }
  const faults = parsed
    .flatMap((document) => [...document.errors, ...document.warnings])
    .map(({ code, pos, message }) => ({ line: lineAt(pos[0]), message: describe(code, message, text.slice(pos[0])) }));
  // One slip often breaks several rules of the grammar in one place.
  const distinct = faults.filter(
    (fault, index) => faults.findIndex((it) => it.line === fault.line && it.message === fault.message) === index,
  );
  if (distinct.length > 0) return { documents: [], faults: distinct };
  const documents = parsed
    .filter(({ contents }) => contents !== null && !(isScalar(contents) && contents.value === null))
    .map((document) => ({ document, lineOf: (path: Path) => lineAt(offsetOf(document, path)) }));
  return { documents, faults };
}

const tooDeep = 'is nested too deeply';

function describe(code: string, message: string, from: string): string {
  if (message.includes('call stack')) return tooDeep;
  if (code === 'DUPLICATE_KEY')
    return `duplicate key ${/^"[^"\n]*"|^'[^'\n]*'|^[^\s:,}]+/.exec(from)?.[0] ?? ''}`.trim();
  return `is not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
}

function offsetOf(document: Document, path: Path): number {
  let node = resolved(document, document.contents as Node | null);
  let offset = node?.range?.[0] ?? 0;
  for (const step of path) {
    const next = childAt(node, step);
    if (!next) break;
    offset = next.at?.range?.[0] ?? offset;
    node = resolved(document, next.value);
  }
  return offset;
}

function childAt(
  node: Node | null | undefined,
  step: string | number,
): { at: Node | null; value: Node | null } | undefined {
  if (isSeq(node) && typeof step === 'number') {
    const item = node.items[step] as Node | undefined;
    return item && { at: item, value: item };
  }
  if (!isMap(node)) return undefined;
  const pair = node.items.find(({ key }) => isScalar(key) && (key.source ?? String(key.value)) === step);
  return pair && { at: pair.key as Node, value: pair.value as Node | null };
}

function resolved(document: Document, node: Node | null): Node | null | undefined {
  return isAlias(node) ? node.resolve(document) : node;
}

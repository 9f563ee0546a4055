import type { Interpolation } from '../../config/interpolate.js';
import { formatPath, showFile } from '../../config/path.js';
import { formatProblem, printable, problemAt } from '../../config/problem.js';
import { operatorBounds, parseYaml, type YamlDocument } from '../../config/yaml-file.js';
import { yamlValue } from '../../config/yaml-value.js';
import { appFileSchema } from '../../model/app-keys.js';
import { isMapping, type Shape } from '../../model/schema/shape.js';
import { Failure } from '../exit-codes.js';
import { type ApiClient, appPath, type Json } from './api-client.js';
import { readAtMost } from './read-at-most.js';
import { RefusedByApi } from './refusal.js';
import { jsonLine, type Screen } from './screen.js';

export interface PutOptions {
  /** `-` is stdin. */
  readonly file: string;
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly ifMatch?: string;
  readonly ifAbsent: boolean;
}

/** Puts the apps of a file, YAML or JSON with the keys of an app file, one after the other. */
export async function put(client: ApiClient, screen: Screen, options: PutOptions): Promise<void> {
  const { json, dryRun, ifMatch, ifAbsent } = options;
  const documents = readApps(options.file);
  if (ifMatch !== undefined && documents.length > 1)
    throw new Failure(2, '--if-match is of one app, and the file holds several');
  for (const { value } of documents)
    if (JSON.stringify(value).includes('${'))
      screen.err(
        `warning: app ${printable(value.name)}: \${…} is sent as it is; only the daemon's own files get variables\n`,
      );
  for (const [index, document] of documents.entries()) {
    try {
      const { body } = await client.ask('PUT', appPath(document.value.name), {
        query: { dryRun: dryRun ? 'true' : undefined },
        headers: { 'if-match': ifMatch, 'if-none-match': ifAbsent ? '*' : undefined },
        body: document.value,
      });
      printWrite(body, { json }, screen);
    } catch (error) {
      throw error instanceof Failure ? located(error, document, { before: dryRun ? 0 : index }) : error;
    }
  }
}

/** What a write did, or would do. */
export function printWrite(body: Json, { json }: { readonly json: boolean }, screen: Screen): void {
  if (json) return screen.out(`${jsonLine(body)}\n`);
  const changes = (body.changes ?? []) as readonly unknown[];
  if (changes.length === 0) return screen.out(`app ${printable(String(body.name))}: nothing to change\n`);
  for (const change of changes) screen.out(`${printable(String(change))}\n`);
  if (body.dryRun) screen.out(screen.style('dim', 'nothing was changed (--dry-run)\n'));
  else if (body.takesEffect === 'soon') screen.out('in force on this machine; others follow within a second or so\n');
}

interface AppInFile {
  readonly file: string;
  readonly value: { readonly name: string };
  readonly document: YamlDocument;
}

/** At most as much as an app file may have. */
const mostBytes = 1024 ** 2;

function readApps(file: string): readonly AppInFile[] {
  const shown = file === '-' ? 'stdin' : showFile(file);
  const fault = (line: number, path: string, message: string) =>
    new Failure(7, formatProblem(problemAt(shown, line, path, message)));
  const text = textOf(file, shown);
  const { documents, faults } = parseYaml(text, operatorBounds);
  if (faults.length > 0)
    throw new Failure(
      7,
      faults.map(({ line, message }) => formatProblem(problemAt(shown, line, '', message))).join('\n'),
    );
  if (documents.length === 0) throw fault(1, '', 'is empty; it has to hold an app');
  return documents.map((document) => {
    const report = (path: Parameters<typeof formatPath>[0], message: string) => {
      throw fault(document.lineOf(path), formatPath(path), message);
    };
    const value = yamlValue(document.document, appFileSchema as Shape, asItIs, report);
    if (!isMapping(value)) throw fault(document.lineOf([]), '', 'must be a mapping with the keys of an app');
    const { name } = value;
    if (typeof name !== 'string' || name === '') throw fault(document.lineOf([]), 'name', 'is missing');
    return { file: shown, value: { ...value, name }, document };
  });
}

function textOf(file: string, shown: string): string {
  let bytes: Buffer;
  try {
    bytes = readAtMost(file, mostBytes);
  } catch (error) {
    throw new Failure(2, `cannot read ${printable(shown)}: ${printable((error as Error).message)}`);
  }
  if (bytes.length > mostBytes) throw new Failure(7, `${printable(shown)} is larger than 1 MiB; is it the right file?`);
  return bytes.toString();
}

function asItIs(text: string): Interpolation {
  return { text, changed: false, faults: [] };
}

/** The refusal with the lines of the file that it is about. */
function located(
  error: Failure,
  { file, value, document }: AppInFile,
  { before }: { readonly before: number },
): Failure {
  const done =
    before === 0
      ? []
      : [`${before} ${before === 1 ? 'app' : 'apps'} before it in the file ${before === 1 ? 'was' : 'were'} put`];
  if (!(error instanceof RefusedByApi) || error.problems.length === 0)
    return new Failure(error.exitCode, [`app ${printable(value.name)}: ${error.message}`, ...done].join('\n'));
  const lines = error.problems.map(({ path, message }) =>
    formatProblem(problemAt(file, document.lineOf(stepsOf(path)), path, message)),
  );
  return new Failure(error.exitCode, [...lines, ...done].join('\n'));
}

/** `scale.max` and `domains[1]` as steps; a key in quotes ends them, and its line is that of the key above. */
function stepsOf(path: string): (string | number)[] {
  const steps: (string | number)[] = [];
  for (const [whole, key, index] of path.matchAll(/\.?([\w-]+)|\[(\d+)\]|./g)) {
    if (key !== undefined) steps.push(key);
    else if (index !== undefined) steps.push(Number(index));
    else if (whole) break;
  }
  return steps;
}

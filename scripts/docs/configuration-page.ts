import type { TSchema } from '../../src/model/schema/typebox.js';
import type { Shape } from '../../src/model/schema/shape.js';

/** docs/configuration.md: every key with its meaning, default and an example. */
export function configurationPage(main: TSchema, app: TSchema): string {
  return `${introduction(app as Shape)}
## The main file

${tables(main as Shape)}
## App files

One app per YAML document; a file may hold several, separated by \`---\`. Those keys that \`plans\` and \`defaults\` know
as well are looked up in the app, then in its plan, then in \`defaults\`; the first that says something wins, else the
default below. ${keysWith(app as Shape, ({ properties, merged }) => properties ?? merged)} are merged key by key.

${tables(app as Shape)}`;
}

const introduction = (app: Shape) => `# Configuration

<!-- Generated from src/model/app-keys.ts and src/config/schema/ by \`npm run docs\`; do not edit. -->

\`fastcontainer check --config FILE\` validates all files and names every problem with file, line and key.

- **Durations** are written with a unit: \`250ms 5s 20m 24h 7d\`. **Sizes** are too, in powers of 1024: \`16k 128m 1g\`.
- **Environment variables**: \`\${VAR}\` and \`\${VAR:-fallback}\` (where VAR is unset or empty) in any value, also within
  text and in place of numbers and flags; \`$$\` is a literal \`$\`. A variable that is not set and has no fallback is an
  error. Values are put in after the YAML was read: they cannot add keys. Inside \`{ }\` and \`[ ]\` quote them:
  \`{ max: "\${MAX}" }\`.
- **Paths**: the patterns in \`apps\` and the files of \`tls\` are relative to the directory of the main file. All other paths (\`cmdb\`,
  \`stateDir\`, \`cwd\`, the \`source\` of mounts, certificates of Redis and Docker) are relative to the working directory of the daemon.
- **Unknown keys** are errors, and so are keys written twice.
- **Reload**: a changed file or SIGHUP. Changes to apps (also by \`plans\` and \`defaults\`) and \`log.level\` take effect at
  once, those that need a new container (command, image, env, limits ...) by replacing what runs, one instance at a time; all other settings
  need a restart, and the log says so. A wrong app file holds its own apps at what it said last, also over a restart, and
  all others are applied; a wrong main file keeps the old configuration as a whole, and at the start the daemon does not
  start. Both are in the log, in \`/readyz\` (check \`configuration\`) and in \`/metrics\`.
- **Bounds**: a file has at most 1 MiB, a document 64 KiB and 20,000 words and signs; a file holds at most 1,000 documents.
  Anchors and aliases are not supported.
- **Who may write app files** decides what runs as whom on the host, and reads the daemon's environment. Files that customers
  write belong into an entry of \`apps\` with \`trust: customer\`: at most 64 KiB and 20 documents, no \`\${VAR}\`, only the keys
  ${keysWith(app, ({ customer }) => customer)},
  each figure at most what plan and defaults say. A process starts in the directory of its file.
  The file must be a file of its own (no link), owned as its directory is or by the operator, and not writable for
  everybody. Names and domains that an operator's file or another customer has are not given twice.
`;

function keysWith({ properties = {} }: Shape, isWanted: (shape: Shape) => unknown): string {
  const keys = Object.entries(properties).flatMap(([key, shape]) => (isWanted(shape) ? [code(key)] : []));
  return `${keys.slice(0, -1).join(', ')} and ${keys.at(-1)}`;
}

interface Row {
  readonly path: string;
  readonly shape: Shape;
  readonly required: boolean;
}

/** One table for the single keys, and one for each section. */
function tables(schema: Shape): string {
  const rows = rowsOf(schema, '');
  const single = rows.filter(({ shape }) => !isSection(shape));
  const sections = rows.filter(({ shape }) => isSection(shape) || isSection(valueOf(shape)));
  return [table(single), ...sections.map(sectionText)].join('\n');
}

function sectionText({ path, shape }: Row): string {
  const inner = isSection(shape) ? shape : valueOf(shape)!;
  const prefix = inner === shape ? path : path === 'plans' ? 'plans.NAME' : path;
  if (path === 'defaults' || path === 'plans') {
    return `### ${path}\n\n${shape.description}\n\nKeys: ${Object.keys(inner.properties ?? {})
      .map(code)
      .join(', ')}; see app files.\n`;
  }
  return `### ${path}\n\n${shape.description ? `${shape.description}\n\n` : ''}${table(leaves(inner, prefix))}`;
}

/** The mapping inside a list, a dictionary or a choice. */
function valueOf(shape: Shape): Shape | undefined {
  const found = new Set(innerShapes(shape).filter((option) => option.properties));
  return found.size === 1 ? [...found][0] : undefined;
}

function innerShapes(shape: Shape): Shape[] {
  const inner = [...(shape.anyOf ?? []), shape.items, ...Object.values(shape.patternProperties ?? {})];
  return inner.flatMap((option) => (option ? [option, ...(option.properties ? [] : innerShapes(option))] : []));
}

function isSection(shape: Shape | undefined): boolean {
  return shape?.properties !== undefined;
}

function rowsOf(schema: Shape, prefix: string): Row[] {
  const required = new Set(schema.required);
  return Object.entries(schema.properties ?? {}).map(([key, shape]) => ({
    path: prefix === '' ? key : `${prefix}.${key}`,
    shape,
    required: required.has(key),
  }));
}

function leaves(schema: Shape, prefix: string): Row[] {
  return rowsOf(schema, prefix).flatMap((row) => {
    if (isSection(row.shape)) return leaves(row.shape, row.path);
    const inner = valueOf(row.shape);
    return [row, ...(inner ? leaves(inner, row.path) : [])];
  });
}

function table(rows: readonly Row[]): string {
  const lines = rows.map(({ path, shape, required }) => {
    const byDefault = required ? '**required**' : defaultOf(shape);
    return `| ${code(path)} | ${meaning(shape)} | ${byDefault} | ${code(example(shape))} |`;
  });
  return `| key | meaning | default | example |\n|---|---|---|---|\n${lines.join('\n')}\n`;
}

function meaning(shape: Shape): string {
  const form =
    shape.expects === undefined || shape.expects === 'text' ? '' : ` (${shape.expects.replace(/ such as .*/, '')})`;
  return escape(`${shape.description ?? ''}${form}`);
}

function defaultOf(shape: Shape): string {
  if (shape.default !== undefined) return code(yaml(shape.default));
  return shape.defaultText ?? '';
}

function example(shape: Shape): string {
  return yaml(shape.examples?.[0]);
}

/** Flow style as one writes it in a file. */
function yaml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => yaml(item)).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const items = Object.entries(value).map(([key, item]) => `${key}: ${yaml(item)}`);
    return items.length === 0 ? '{}' : `{ ${items.join(', ')} }`;
  }
  const text = String(value ?? '');
  return typeof value === 'string' && /^[[*&!|>%@`{]|: /.test(text) ? JSON.stringify(text) : text;
}

function code(text: string): string {
  return text === '' ? '' : `\`${escape(text)}\``;
}

function escape(text: string): string {
  return text.replaceAll('|', '\\|');
}

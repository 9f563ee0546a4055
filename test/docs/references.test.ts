import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import t from 'tap';
import { apiErrorTable } from '../../src/admin/api-error.js';
import { errorTable } from '../../src/model/errors.js';
import { problemsOf } from '../config/files.js';

const pages = ['README.md', 'CHANGELOG.md', ...filesIn('docs', '.md')];
const text = (page: string): string => readFileSync(page, 'utf8');
/** Without blocks of code. */
const prose = (page: string): string => text(page).replaceAll(/^```[^]*?^```/gm, '');

function filesIn(directory: string, end: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith(end)).map((name) => join(directory, name));
}

/** What a heading is called in a link. */
function anchorsOf(page: string): Set<string> {
  const headings = [...prose(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );
}

t.test('every link within the documents leads to a file, and to a heading of it', async (t) => {
  for (const page of pages) {
    for (const [, target = ''] of prose(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : join(dirname(page), path);
      t.ok(existsSync(file), `${page}: ${target}`);
      if (anchor !== undefined) t.ok(anchorsOf(file).has(anchor), `${page}: ${target} is a heading`);
    }
  }
});

t.test('every file of the source that a document names is there', async (t) => {
  const named = /`((?:src|test|scripts|bench|examples|config|docker)\/[\w./-]*[\w/])`/g;
  for (const page of pages.filter((name) => name !== 'CHANGELOG.md'))
    for (const [, path = ''] of text(page).matchAll(named)) t.ok(existsSync(resolve(path)), `${page}: ${path}`);
});

t.test('every file that the map names is in its room', async (t) => {
  const page = 'docs/architecture.md';
  const named = /`((?:\w+\/)+[\w-]+\.ts)`/g;
  for (const [, path = ''] of text(page).matchAll(named))
    t.ok(existsSync(path) || existsSync(join('src', path)), `${page}: ${path}`);
});

t.test(
  'every error code is one that the source gives, and every one that a document names is in the table',
  async (t) => {
    const tables = ['src/model/errors.ts', 'src/admin/api-error.ts'];
    const source = filesIn('src', '.ts').filter((file) => !tables.includes(file));
    const all = source.map((file) => readFileSync(file, 'utf8')).join('\n');
    for (const code of Object.keys({ ...errorTable, ...apiErrorTable }))
      t.ok(all.includes(`'${code}'`), `${code} is given somewhere`);
    for (const page of pages)
      for (const [, code = ''] of text(page).matchAll(/\b[45]\d\d `([a-z]+_[a-z_]+)`/g))
        t.ok(Object.hasOwn({ ...errorTable, ...apiErrorTable }, code), `${page}: ${code}`);
  },
);

t.test('every metric that a document names is one of docs/metrics.md', async (t) => {
  const known = new Set([...text('docs/metrics.md').matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name));
  for (const page of pages.filter((name) => name !== 'CHANGELOG.md'))
    for (const [, name = ''] of text(page).matchAll(/`(fastcontainer_[a-z_]+)/g))
      t.ok(known.has(name.replace(/_(?:bucket|sum|count)$/, '')) || known.has(name), `${page}: ${name}`);
});

t.test('every option of the command line that a document names is one', async (t) => {
  const cli = text('src/cli/program.ts');
  for (const page of pages.filter((name) => name !== 'CHANGELOG.md'))
    for (const [, words = ''] of text(page).matchAll(
      /(?:fastcontainer|main\.js) (?:start|check|apps|app|put|rm|boot|stop|restart|drain|maintenance|nodes|instances|init|completion)([^`\n]*)/g,
    ))
      for (const [option] of words.matchAll(/--[a-z][a-z-]*/g)) t.ok(cli.includes(option), `${page}: ${option}`);
});

const someApp = 'name: some\ndomains: some.localhost\nruntime: docker\nimage: some:1\n';

t.test('every configuration that a document shows is taken', async (t) => {
  for (const page of pages) {
    for (const [, block = ''] of text(page).matchAll(/^```yaml\n([^]*?)^```/gm)) {
      if (/^services:/m.test(block)) continue;
      const parts = block.split(/^(?=# (?:config\/|the (?:main file|app)))/m).filter((part) => part.trim() !== '');
      for (const part of parts) {
        const isApp = part.startsWith('# the app') || /^name:/m.test(part);
        const app = /^name:/m.test(part) ? part : someApp + part;
        const files = isApp ? { 'main.yaml': 'plans: { small: {} }\n', 'apps/a.yaml': app } : { 'main.yaml': part };
        const variables = [...part.matchAll(/\$\{(\w+)/g)].map(([, name = '']) => [name, 'x'.repeat(40)] as const);
        t.same(await problemsOf(files, Object.fromEntries(variables)), [], `${page}: ${part.split('\n')[0] ?? ''}`);
      }
    }
  }
});

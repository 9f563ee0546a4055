import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { appFileSchema } from '../src/model/app-keys.js';
import { mainSchema } from '../src/config/schema/main-file.js';
import { cliPage } from './docs/cli-page.js';
import { configurationPage } from './docs/configuration-page.js';
import { editorSchema } from './docs/editor-schema.js';
import { errorsPage } from './docs/errors-page.js';

/** Everything that is generated from the source, by path in the repository. */
export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/configuration.md', configurationPage(mainSchema, appFileSchema)],
    ['docs/errors.md', errorsPage()],
    ['docs/cli.md', cliPage()],
    ['config/schema/fastcontainer.schema.json', editorSchema(mainSchema, 'The main file of fastcontainer')],
    ['config/schema/app.schema.json', editorSchema(appFileSchema, 'An app of fastcontainer')],
  ]);
}

/** Paths of generated files that are missing or say something else than the source does. */
export async function staleFiles(root: string): Promise<string[]> {
  const stale = [...generatedFiles()].map(async ([path, content]) => {
    const found = await readFile(join(root, path), 'utf8').catch(() => undefined);
    return found === content ? [] : [path];
  });
  return (await Promise.all(stale)).flat();
}

/** Writes them; with `--check` only says which are stale, and exits with 1 where there are any. */
async function main(args: readonly string[]): Promise<void> {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const stale = await staleFiles(root);
  if (args.includes('--check')) {
    for (const path of stale)
      process.stderr.write(`${path} is stale: run \`npm run docs\` and look at \`git diff ${path}\`\n`);
    process.exitCode = stale.length > 0 ? 1 : 0;
    return;
  }
  const files = generatedFiles();
  for (const path of stale) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), files.get(path)!);
    process.stdout.write(`wrote ${path}\n`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.slice(2));

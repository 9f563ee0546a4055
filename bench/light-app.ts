import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findProgram } from './programs-on-path.js';

export interface TestApp {
  readonly name: string;
  /** Listens on HOST and PORT of its environment. */
  readonly command: readonly string[];
}

/** An app as customers have them: its time to listen is that of a node process. */
export function nodeApp(): TestApp {
  return { name: 'node', command: [process.execPath, resolve('dist/bench/programs/upstream.js')] };
}

/** An app that costs next to nothing, so that what is left is the dispatcher's; undefined without busybox. */
export function lightApp(dir: string): TestApp | undefined {
  const busybox = findProgram('busybox');
  if (busybox === undefined) return undefined;
  const pages = join(dir, 'pages');
  mkdirSync(pages, { recursive: true });
  writeFileSync(join(pages, 'index.html'), 'hello world\n');
  const script = `exec ${busybox} httpd -f -p "$HOST:$PORT" -h "${pages}"`;
  return { name: 'busybox httpd', command: ['/bin/sh', '-c', script] };
}

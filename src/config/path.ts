import { isAbsolute, relative } from 'node:path';

/** The keys and list positions that lead from the top of a document to a value. */
export type Path = readonly (string | number)[];

/** `scale.max`, `domains[1]`, `env."odd key"` */
export function formatPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += (text === '' ? '' : '.') + (/^[\w-]{1,80}$/.test(step) ? step : JSON.stringify(shorten(step)));
  }
  return text;
}

/** Text from a file as messages quote it: cut after 80 characters. */
export function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** How messages name a file: relative to the working directory if it lies below it. */
export function showFile(file: string): string {
  const path = relative(process.cwd(), file);
  return path === '' || path.startsWith('..') || isAbsolute(path) ? file : path;
}

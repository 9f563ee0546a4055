/** Way from the top of a document to a value: keys and list positions. */
export type Path = readonly (string | number)[];

/** `scale.max`, `domains[1]`, `env."odd key"` */
export function formatPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += (text === '' ? '' : '.') + (/^[\w-]+$/.test(step) ? step : JSON.stringify(step));
  }
  return text;
}

import { randomUUID } from 'node:crypto';

const name = 'X-Request-Id';
const lowerName = name.toLowerCase();
const wellFormed = /^[\w.:/+=-]{1,128}$/;
const traceContext = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * The request's own id if it has one, once and well-formed; else a new one. The headers for the upstream, flat, are changed to have
 * exactly that.
 */
export function takeRequestId(headers: string[]): string {
  const found = valuesOf(headers, lowerName);
  const [only = ''] = found;
  if (found.length === 1 && wellFormed.test(only)) return only;
  if (found.length > 0) drop(headers);
  const made = randomUUID();
  headers.push(name, made);
  return made;
}

/** Undefined if there is none that W3C Trace Context takes. */
export function traceparentOf(headers: readonly string[]): string | undefined {
  const [only = '', ...more] = valuesOf(headers, 'traceparent');
  return more.length === 0 && traceContext.test(only) ? only : undefined;
}

function valuesOf(headers: readonly string[], wanted: string): string[] {
  const values: string[] = [];
  for (let index = 0; index < headers.length; index += 2)
    if (headers[index]?.length === wanted.length && headers[index]?.toLowerCase() === wanted)
      values.push(headers[index + 1] ?? '');
  return values;
}

function drop(headers: string[]): void {
  let kept = 0;
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index]?.toLowerCase() === lowerName) continue;
    headers[kept] = headers[index] ?? '';
    headers[kept + 1] = headers[index + 1] ?? '';
    kept += 2;
  }
  headers.length = kept;
}

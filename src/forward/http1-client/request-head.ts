/** A request that an app would read as another one. */
export class Unsendable extends Error {
  override readonly name = 'Unsendable';
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const target = /^(?:\/[\x21-\x7e\x80-\xff]*|\*)$/;
const text = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Headers that only the connection knows. */
const framing = new Set(['content-length', 'transfer-encoding', 'connection']);
const framingLengths = new Set([...framing].map((name) => name.length));

/**
 * Request line and header lines, each with its end, without what frames the body and without the empty line. `headers` is flat.
 * Throws Unsendable.
 */
export function headLines(method: string, path: string, headers: readonly string[]): string {
  if (!token.test(method) || !target.test(path))
    throw new Unsendable('The request line has characters that it may not have.');
  let lines = `${method} ${path} HTTP/1.1\r\n`;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string;
    const value = headers[index + 1] as string;
    if (!token.test(name) || !text.test(value)) {
      throw new Unsendable(`The header ${JSON.stringify(name)} has characters that it may not have.`);
    }
    if (framingLengths.has(name.length) && framing.has(name.toLowerCase())) continue;
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

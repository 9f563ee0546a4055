/** What an answer tells its client, so that its next requests reach the same instance. */
export type AffinityMark =
  /** A cookie of ours. */
  | { readonly kind: 'cookie'; readonly line: string }
  /** A tag behind the value of the app's header, or cookie. */
  | { readonly kind: 'tag'; readonly tag: string; readonly header?: string; readonly cookie?: string };

export const tagLength = 22;
const separator = '~';
const tagged = new RegExp(`^(.+)${separator}([\\w-]{${tagLength}})$`, 's');

/** Adds the mark to the headers of an answer, flat. */
export function addMark(headers: string[], mark: AffinityMark): void {
  if (mark.kind === 'cookie') return void headers.push('Set-Cookie', mark.line);
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!.toLowerCase();
    const value = headers[index + 1]!;
    if (name === mark.header && value !== '') headers[index + 1] = `${value}${separator}${mark.tag}`;
    if (name === 'set-cookie' && mark.cookie !== undefined) headers[index + 1] = withTag(value, mark.cookie, mark.tag);
  }
}

/** A value as the app gave it, and the tag behind it; undefined if there is none. */
export function readTag(value: string): { readonly value: string; readonly tag: string } | undefined {
  const match = tagged.exec(value);
  return match ? { value: match[1]!, tag: match[2]! } : undefined;
}

/** `NAME=value; attributes`; a value that is empty or quoted stays as it is. */
function withTag(line: string, cookie: string, tag: string): string {
  const end = line.indexOf(';') < 0 ? line.length : line.indexOf(';');
  const pair = line.slice(0, end).trimEnd();
  const isIts = pair.slice(0, cookie.length + 1).trimStart() === `${cookie}=`;
  if (!isIts || pair.length === cookie.length + 1 || pair.endsWith('"')) return line;
  return `${pair}${separator}${tag}${line.slice(end)}`;
}

/** What makes a JSON text one that is not read here. */
export type JsonFault = { readonly kind: 'deep' } | { readonly kind: 'repeated'; readonly key: string };

/**
 * Looks at a text, before or after it is parsed, for more than `mostLevels` levels and for an object that has a key twice: parsers
 * differ in which of the two they take. A text that is no JSON may have neither.
 */
export function faultOfJson(mostLevels: number, text: string): JsonFault | undefined {
  /** The keys of each object that is open; undefined for a list. */
  const open: (Set<string> | undefined)[] = [];
  let string = '';
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '"') {
      const end = endOfString(text, at);
      string = text.slice(at, end + 1);
      at = end;
    } else if (character === '{' || character === '[') {
      open.push(character === '{' ? new Set() : undefined);
      if (open.length > mostLevels) return { kind: 'deep' };
    } else if (character === '}' || character === ']') open.pop();
    else if (character === ':') {
      const key = textOf(string);
      const keys = open.at(-1);
      if (keys?.has(key)) return { kind: 'repeated', key };
      keys?.add(key);
    }
  }
  return undefined;
}

/** Where the closing quotation mark is. */
function endOfString(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

/** Written with escapes or without, it is the same key. */
function textOf(string: string): string {
  try {
    return string.includes('\\') ? String(JSON.parse(string)) : string.slice(1, -1);
  } catch {
    return string;
  }
}

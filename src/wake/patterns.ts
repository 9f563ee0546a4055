/** Characters of a path, a user agent or a header's value that patterns look at. */
const mostRead = { glob: 2_048, words: 512 } as const;

/** Whether a text contains one of these words, in upper or lower case. Time is bounded by what it reads times the words. */
export function words(listed: readonly string[]): (text: string) => boolean {
  // Only literals, so nothing can be tried twice at one place.
  const any = new RegExp(
    listed.map((word) => word.replaceAll(/[$()*+.?[\\\]^{|}/-]/g, String.raw`\$&`)).join('|'),
    'i',
  );
  return (text) => any.test(text.length > mostRead.words ? text.slice(0, mostRead.words) : text);
}

/** Whether a text is as one of these patterns, in which `*` stands for any characters. */
export function globs(listed: readonly string[]): (text: string) => boolean {
  const exact = new Set(listed.filter((pattern) => !pattern.includes('*')));
  const others = listed.filter((pattern) => pattern.includes('*')).map(glob);
  return (text) => {
    const read = text.length > mostRead.glob ? text.slice(0, mostRead.glob) : text;
    return exact.has(read) || others.some((matches) => matches(read));
  };
}

/** Each part is looked for once, behind the one before: if the first place does not do, no later one does. */
function glob(pattern: string): (text: string) => boolean {
  const parts = pattern.split('*');
  const first = parts[0] as string;
  const last = parts.at(-1) as string;
  const inner = parts.slice(1, -1).filter((part) => part !== '');
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
    const end = text.length - last.length;
    let from = first.length;
    for (const part of inner) {
      const at = text.indexOf(part, from);
      if (at === -1 || at + part.length > end) return false;
      from = at + part.length;
    }
    return true;
  };
}

/** Control characters, those that turn the direction of a line, line ends of Unicode, and what stands for bytes that are no text. */
const unsafe = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufffd]/gu;

/**
 * What an app wrote, with nothing in it that steers a terminal or forges a line: control characters as `^X`, those of C1 as
 * the escape sequences that they stand for, the rest as `?`. Line ends and tabs stay. At most twice the bytes that the app wrote, in
 * JSON too.
 */
export function printable(text: string): string {
  return text.replaceAll(unsafe, (character) => {
    const code = character.charCodeAt(0);
    if (character === '\n' || character === '\t') return character;
    // A backslash would be doubled in JSON.
    if (code < 0x20) return code === 0x1c ? '^|' : `^${String.fromCharCode(code + 0x40)}`;
    if (code === 0x7f) return '^?';
    return code < 0xa0 ? `^[${String.fromCharCode(code - 0x40)}` : '?';
  });
}

/** The last bytes that an app wrote, printable, from the beginning of a character, and no more than `maxBytes`. */
export function lastWords(bytes: Buffer, maxBytes: number): string {
  if (maxBytes <= 0) return '';
  const text = printable(endOf(bytes, maxBytes).toString('utf8'));
  return endOf(Buffer.from(text), maxBytes).toString('utf8');
}

function endOf(bytes: Buffer, maxBytes: number): Buffer {
  let start = Math.max(0, bytes.length - maxBytes);
  if (start > 0) while (start < bytes.length && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return bytes.subarray(start);
}

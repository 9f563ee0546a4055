/** Control and bidirectional control characters, Unicode line ends, and the replacement character. */
const unsafe = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufffd]/gu;

/**
 * Makes an app's output safe for terminals and logs: writes control characters as `^X`, those of C1 as their escape sequences, and
 * other unsafe ones as `?`; keeps line ends and tabs. At most doubles the bytes, even in JSON.
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

/** The end of an app's output, printable: at most `maxBytes`, from the beginning of a character. */
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

/** A foreign text, made fit for one log line: without control characters, at most 500 characters. */
export function oneLine(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
  return line.length > 500 ? `${line.slice(0, 500)}…` : line;
}

/** An error's message, made fit for one log line. */
export function messageOf(error: unknown): string {
  return oneLine(error instanceof Error ? error.message : String(error));
}

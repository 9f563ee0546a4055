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

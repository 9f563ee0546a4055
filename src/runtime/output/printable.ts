import { printable } from '../../model/printable.js';

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

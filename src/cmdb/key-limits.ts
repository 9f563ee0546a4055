import type { App } from '../model/app.js';

/** Length of the longest name, domain or incarnation that every store takes as a key, in bytes of UTF-8. */
export const longestKey = 255;

/** Whether every store can take this text as a key; nothing is stored under any other. */
export function isKey(text: string): boolean {
  // A UTF-16 unit takes at most four bytes, so that most texts need not be measured.
  const isShort = text.length * 4 <= longestKey || (text.length <= longestKey && Buffer.byteLength(text) <= longestKey);
  // oxlint-disable-next-line no-control-regex -- they have a special meaning in the keys of LMDB
  return text !== '' && isShort && !/[\u0000-\u001f]/.test(text);
}

/** Throws a RangeError that names the text if it is no key. Call it before anything is written. */
export function checkKey(what: string, text: string): void {
  if (isKey(text)) return;
  const shown = JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
  throw new RangeError(
    `${what} ${shown} cannot be stored: it must have 1 to ${longestKey} bytes, none a control character`,
  );
}

/** The same for an app's name and all its domains. */
export function checkAppKeys({ name, domains }: App): void {
  checkKey('app', name);
  for (const domain of domains) checkKey(`app ${name}: domain`, domain);
}

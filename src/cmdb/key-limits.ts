import type { App } from '../model/app.js';

/** Longest name, domain or incarnation that every store takes as a key, in bytes of UTF-8. */
export const longestKey = 255;

/** Whether every store can hold something under this name. One that it cannot hold is not there. */
export function isKey(text: string): boolean {
  // A character takes at most four bytes: most texts need not be counted.
  const isShort = text.length * 4 <= longestKey || (text.length <= longestKey && Buffer.byteLength(text) <= longestKey);
  // oxlint-disable-next-line no-control-regex -- they have a meaning of their own in the keys of LMDB
  return text !== '' && isShort && !/[\u0000-\u001f]/.test(text);
}

/** Throws a RangeError that names what no store could hold, before anything is written. */
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

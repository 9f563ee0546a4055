import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { type Stats, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { CertificatePair } from '../../model/certificate.js';
import { readText } from '../reader/read-text.js';
import { namesOf } from './certificate-names.js';

/** Chains are a few KB; a larger file is another thing. */
const terms = { mostBytes: 256 * 1024 };
const certificateBlock = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END [A-Z0-9 ]+-----/;
const keyBlock = /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-(?!----))+-----END [A-Z ]*PRIVATE KEY-----/;
/** Of a certificate whose key is beside it. */
const extensions = ['.pem', '.crt', '.cer', '.cert'];
const fullchain = /^fullchain(\d*)\.pem$/;
const privkey = /^privkey(\d*)\.pem$/;

/** A pair that was read, and what decides between several for one name. */
export interface LoadedPair extends CertificatePair {
  /** Such as `rsa` or `ec`. */
  readonly kind: string;
  /** Milliseconds of the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export type Fault = { readonly fault: string };

/**
 * A number that changes when the certificate, or the key beside it, does; undefined if there is no certificate. Blocks, as
 * everything here does.
 */
export function stampOf(file: string): number | undefined {
  const stats = look(file);
  const key = keyBeside(file);
  return stats && mix(stats) + 3 * mix(key === undefined ? undefined : look(key));
}

/** Undefined if nothing is there; what may not be looked at counts as there. */
function look(file: string): Stats | 'hidden' | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOTDIR' ? undefined : 'hidden';
  }
}

function mix(stats: Stats | 'hidden' | undefined): number {
  if (stats === undefined || stats === 'hidden') return stats === undefined ? 0 : 1;
  const { ino, size, mode, uid, mtimeMs, ctimeMs } = stats;
  return mtimeMs + 7 * ctimeMs + 31 * size + 127 * ino + 8_191 * mode + 131_071 * uid;
}

/** The host names of a certificate; its key only has to be there. */
export function readNames(file: string): { readonly names: readonly string[] } | Fault {
  const text = textOf(file);
  if (typeof text !== 'string') return text;
  const [, body] = certificateBlock.exec(text) ?? [];
  if (body === undefined) return { fault: 'holds no certificate in PEM' };
  const names = namesOf(Buffer.from(body, 'base64'));
  if (names.length === 0) return { fault: 'names no host in its subjectAltName' };
  if (keyBlock.test(text)) return { names };
  const beside = keyBeside(file);
  const key = beside === undefined ? undefined : textOf(beside);
  return typeof key === 'string' ? { names } : { fault: noKey(file, beside, key) };
}

/** The certificate with its chain and its key, which fit together. */
export function readPair(file: string): { readonly pair: LoadedPair } | Fault {
  const text = textOf(file);
  if (typeof text !== 'string') return text;
  const blocks = text.match(new RegExp(certificateBlock, 'g')) ?? [];
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(blocks[0] ?? '');
  } catch {
    return { fault: 'holds no certificate in PEM' };
  }
  const beside = keyBeside(file);
  const own = keyBlock.exec(text)?.[0];
  const written = own ?? (beside === undefined ? undefined : textOf(beside));
  const key = typeof written === 'string' ? keyBlock.exec(written)?.[0] : undefined;
  if (key === undefined) return { fault: noKey(file, beside, written as Fault | undefined) };
  const where = own === undefined ? (beside as string) : 'the file';
  let parsed: KeyObject;
  try {
    parsed = createPrivateKey(key);
  } catch {
    return { fault: `the key in ${where} cannot be read; is it encrypted? Write it without a passphrase` };
  }
  if (!certificate.checkPrivateKey(parsed)) return { fault: `the key in ${where} belongs to another certificate` };
  const files = { cert: `${blocks.join('\n')}\n`, key: `${key}\n` };
  try {
    createSecureContext(files);
  } catch (error) {
    return { fault: `cannot be used: ${(error as Error).message}; is its chain whole?` };
  }
  return {
    pair: {
      ...files,
      kind: parsed.asymmetricKeyType ?? '',
      notBefore: Date.parse(certificate.validFrom),
      notAfter: Date.parse(certificate.validTo),
    },
  };
}

/** Whether a file holds a key by its name, so that it is no certificate although a pattern matches it. */
export function isKeyFile(file: string): boolean {
  return extname(file) === '.key' || privkey.test(basename(file));
}

/** Where the key of a certificate is if its file does not hold one; undefined for files that have no such place. */
export function keyBeside(file: string): string | undefined {
  const name = basename(file);
  if (fullchain.test(name)) return join(dirname(file), name.replace('fullchain', 'privkey'));
  const extension = extname(name);
  return extensions.includes(extension) ? `${file.slice(0, -extension.length)}.key` : undefined;
}

/** The certificates whose key this file may be. */
export function certificatesBeside(key: string): string[] {
  const name = basename(key);
  if (privkey.test(name)) return [join(dirname(key), name.replace('privkey', 'fullchain'))];
  return extname(key) === '.key' ? extensions.map((extension) => `${key.slice(0, -'.key'.length)}${extension}`) : [];
}

/** The host that a file's name or, for names such as fullchain.pem, that of its directory tells; perhaps not one of the certificate's. */
export function hostHint(file: string): string {
  const name = basename(file, extname(file));
  const hint = /^(?:fullchain\d*|cert(?:ificate)?|tls|server)$/.test(name) ? basename(dirname(file)) : name;
  return hint.toLowerCase().replace(/^(?:\*|_wildcard_?|wildcard|_)\./, '');
}

function textOf(file: string): string | Fault {
  const reading = readText(file, terms);
  if (reading === undefined) return { fault: 'is not there' };
  return 'text' in reading ? reading.text : reading;
}

function noKey(file: string, beside: string | undefined, found: Fault | string | undefined): string {
  if (beside === undefined) return `holds no key, and there is no name for one beside ${basename(file)}`;
  const why = typeof found === 'object' ? found.fault : 'holds no key';
  return `holds no key, and ${beside} ${why}`;
}

import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';

/** Records that decide what is run as whom, and where requests go. */
export type SignedKind = 'app' | 'deployment';

/** Length of a signature: the 32 bytes of HMAC-SHA256 in base64url. */
const signatureLength = 43;

/**
 * Signs what is stored with the key of the installation: a text with its signature before it and a space between. A signature
 * belongs to the exact text, the kind and the name under which it is stored, and the installation (`cmdb.name`).
 */
export class RecordSigner {
  /** Tells keys apart without giving one away. */
  readonly keyId: string;
  readonly #key: KeyObject;
  readonly #installation: string;

  /** `key` has at least 32 bytes; config/schema/main-file.ts sees to it. */
  constructor(key: string, installation: string) {
    this.#key = createSecretKey(Buffer.from(key));
    this.#installation = installation;
    this.keyId = this.#hmac('key', '', '').slice(0, 12);
  }

  sign(kind: SignedKind, name: string, text: string): string {
    return `${this.#hmac(kind, name, text)} ${text}`;
  }

  /** The text, whether its signature holds or not. */
  textOf(signed: string): string {
    return signed.slice(signatureLength + 1);
  }

  /** Takes the time that it takes, wherever the signatures differ. */
  holds(kind: SignedKind, name: string, signed: string): boolean {
    if (signed[signatureLength] !== ' ') return false;
    const given = Buffer.from(signed.slice(0, signatureLength));
    const expected = Buffer.from(this.#hmac(kind, name, this.textOf(signed)));
    return given.length === expected.length && timingSafeEqual(given, expected);
  }

  /** Kinds, names and installations have no control characters (key-limits.ts): nothing can be divided in two ways. */
  #hmac(kind: string, name: string, text: string): string {
    const scope = `fastcontainer\0${this.#installation}\0${kind}\0${name}\0`;
    return createHmac('sha256', this.#key).update(scope).update(text).digest('base64url');
  }
}

import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';

/** The signed records: they decide what is run as which user, and where requests go. */
export type SignedKind = 'app' | 'deployment';

/** Length of a signature: the 32 bytes of HMAC-SHA256 in base64url. */
const signatureLength = 43;

/**
 * Signs records with the key of the installation: a signature, a space, the text. A signature holds only for the exact text, its kind
 * and name, and the installation (`cmdb.name`).
 */
export class RecordSigner {
  /** Identifies the key without revealing it. */
  readonly keyId: string;
  readonly #key: KeyObject;
  readonly #installation: string;

  /** `key` has at least 32 bytes; config/schema/main-file.ts checks that. */
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

  /** Whether the signature holds. Takes the same time wherever two signatures differ. */
  holds(kind: SignedKind, name: string, signed: string): boolean {
    if (signed[signatureLength] !== ' ') return false;
    const given = Buffer.from(signed.slice(0, signatureLength));
    const expected = Buffer.from(this.#hmac(kind, name, this.textOf(signed)));
    return given.length === expected.length && timingSafeEqual(given, expected);
  }

  /** Kinds, names and installations have no control characters (key-limits.ts), so that the scope is unambiguous. */
  #hmac(kind: string, name: string, text: string): string {
    const scope = `fastcontainer\0${this.#installation}\0${kind}\0${name}\0`;
    return createHmac('sha256', this.#key).update(scope).update(text).digest('base64url');
  }
}

import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';

const version = '1';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

/** A sealed text cannot be opened: it was sealed with another key, for another name, or was changed. */
export class SealBroken extends Error {
  override readonly name = 'SealBroken';
}

/**
 * Keeps texts secret in a store that others may read and write. A sealed text opens only with the same key and under the name that it
 * was sealed for. Source: AES-256-GCM, NIST SP 800-38D.
 */
export class Seal {
  /** Names the key without revealing it: with another key other documents are used. */
  readonly id: string;
  readonly #key: Buffer;

  /** `secret` has at least 32 characters; `installation` keeps apart those that share a store or a secret. */
  constructor(secret: string, installation: string) {
    this.#key = Buffer.from(hkdfSync('sha256', secret, '', `fastcontainer\0seal\0${installation}`, keyBytes));
    this.id = createHash('sha256').update(this.#key).digest('base64url').slice(0, 12);
  }

  close(name: string, text: string): string {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(name));
    const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return `${version}.${Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url')}`;
  }

  /** Throws SealBroken. */
  open(name: string, sealed: string): string {
    const [written, body = ''] = sealed.split('.', 2);
    const bytes = Buffer.from(body, 'base64url');
    if (written !== version || bytes.length < nonceBytes + tagBytes)
      throw new SealBroken('it is not sealed as expected');
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, nonceBytes), {
        authTagLength: tagBytes,
      });
      decipher.setAAD(Buffer.from(name)).setAuthTag(bytes.subarray(-tagBytes));
      const text = Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]);
      return text.toString('utf8');
    } catch (error) {
      throw new SealBroken('it was sealed with another key or for another name, or was changed', { cause: error });
    }
  }
}

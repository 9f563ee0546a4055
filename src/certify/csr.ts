import { createPublicKey, type KeyObject, sign } from 'node:crypto';

const oid = {
  /** 1.2.840.10045.4.3.2 */
  ecdsaWithSha256: Buffer.from('06082a8648ce3d040302', 'hex'),
  /** 1.2.840.113549.1.9.14 */
  extensionRequest: Buffer.from('06092a864886f70d01090e', 'hex'),
  /** 2.5.29.17 */
  subjectAltName: Buffer.from('0603551d11', 'hex'),
};

/** Asks for a certificate for one host name, with a key on the curve P-256; in DER. Source: RFC 2986, RFC 5280 §4.2.1.6. */
export function requestFor(domain: string, key: KeyObject): Buffer {
  const names = element(0x30, element(0x82, Buffer.from(domain, 'latin1')));
  const extension = element(0x30, oid.subjectAltName, element(0x04, names));
  const attribute = element(0x30, oid.extensionRequest, element(0x31, element(0x30, extension)));
  const version = Buffer.from('020100', 'hex');
  const noSubject = element(0x30);
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const info = element(0x30, version, noSubject, publicKey, element(0xa0, attribute));
  const signature = sign('sha256', info, key);
  return element(0x30, info, element(0x30, oid.ecdsaWithSha256), element(0x03, Buffer.from([0]), signature));
}

function element(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const length =
    body.length < 0x80
      ? Buffer.from([body.length])
      : body.length < 0x100
        ? Buffer.from([0x81, body.length])
        : Buffer.from([0x82, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([Buffer.from([tag]), length, body]);
}

/** DER, so much as certificates and requests for them need. Source: ITU-T X.690. */
export const oid = {
  /** 1.2.840.10045.4.3.2 */
  ecdsaWithSha256: Buffer.from('06082a8648ce3d040302', 'hex'),
  /** 1.2.840.113549.1.9.14 */
  extensionRequest: Buffer.from('06092a864886f70d01090e', 'hex'),
  /** 2.5.29.17 */
  subjectAltName: Buffer.from('0603551d11', 'hex'),
  /** 2.5.29.35 */
  authorityKeyIdentifier: Buffer.from('0603551d23', 'hex'),
};

export const tags = { octets: 0x04, bits: 0x03, sequence: 0x30, set: 0x31 };

export function element(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const length =
    body.length < 0x80
      ? Buffer.from([body.length])
      : body.length < 0x100
        ? Buffer.from([0x81, body.length])
        : Buffer.from([0x82, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([Buffer.from([tag]), length, body]);
}

/** A sequence of what is to be signed, the algorithm (ECDSA with SHA-256) and the signature. */
export function signed(content: Buffer, signature: Buffer): Buffer {
  const algorithm = element(tags.sequence, oid.ecdsaWithSha256);
  return element(tags.sequence, content, algorithm, element(tags.bits, Buffer.from([0]), signature));
}

/** The extension that names the host of a certificate. */
export function subjectAltName(domain: string): Buffer {
  const names = element(tags.sequence, element(0x82, Buffer.from(domain, 'latin1')));
  return element(tags.sequence, oid.subjectAltName, element(tags.octets, names));
}

/** What is in the first element of `bytes`; undefined if that has another tag or is not whole. */
export function contentOf(bytes: Buffer, tag: number): Buffer | undefined {
  if (bytes[0] !== tag || bytes.length < 2) return undefined;
  const first = bytes[1]!;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (lengthBytes > 3 || bytes.length < 2 + lengthBytes) return undefined;
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(2, lengthBytes);
  const from = 2 + lengthBytes;
  return bytes.length < from + length ? undefined : bytes.subarray(from, from + length);
}

/** An element of a DER encoding: its tag, and where its content begins and ends. */
interface Element {
  readonly tag: number;
  readonly from: number;
  readonly to: number;
}

const sequence = 0x30;
const octetString = 0x04;
/** The extensions of a certificate: `[3]`. RFC 5280 §4.1. */
const extensions = 0xa3;
/** A host name among the names of a certificate: `[2]`. RFC 5280 §4.2.1.6. */
const dnsName = 0x82;
/** OID 2.5.29.17 with its tag and length. */
const subjectAltName = Buffer.from([0x06, 0x03, 0x55, 0x1d, 0x11]);
/** A host name, or a wildcard of one whole label. */
const hostName = /^(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;
const longestName = 253;

/**
 * The host names that a certificate is for, in lower case. Reads no more of it than that, as it is done for each of a hundred
 * thousand files: `X509Certificate` takes twenty times as long. Never throws; what it cannot read has no names.
 */
export function namesOf(der: Buffer): string[] {
  const certificate = elementAt(der, 0, der.length);
  const body = certificate?.tag === sequence ? elementAt(der, certificate.from, certificate.to) : undefined;
  const field = body && childrenOf(der, body).find(({ tag }) => tag === extensions);
  const list = field && elementAt(der, field.from, field.to);
  const names = new Set<string>();
  for (const extension of list ? childrenOf(der, list) : []) {
    if (!der.subarray(extension.from, extension.to).subarray(0, subjectAltName.length).equals(subjectAltName)) continue;
    const value = childrenOf(der, extension).find(({ tag }) => tag === octetString);
    const all = value && elementAt(der, value.from, value.to);
    for (const { tag, from, to } of all ? childrenOf(der, all) : []) {
      const name = tag === dnsName && to - from <= longestName ? der.toString('latin1', from, to).toLowerCase() : '';
      if (hostName.test(name)) names.add(name);
    }
  }
  return [...names];
}

function childrenOf(der: Buffer, { from, to }: Element): Element[] {
  const children: Element[] = [];
  for (let at = from; at < to;) {
    const child = elementAt(der, at, to);
    if (!child) break;
    children.push(child);
    at = child.to;
  }
  return children;
}

/** Undefined if it does not end before `end`. */
function elementAt(der: Buffer, at: number, end: number): Element | undefined {
  if (at + 2 > end) return undefined;
  const [tag = 0, first = 0] = [der[at], der[at + 1]];
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  const from = at + 2 + lengthBytes;
  if (lengthBytes > 3 || from > end) return undefined;
  const length = lengthBytes === 0 ? first : der.readUIntBE(at + 2, lengthBytes);
  return from + length > end ? undefined : { tag, from, to: from + length };
}

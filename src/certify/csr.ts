import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { element, oid, signed, subjectAltName, tags } from './der.js';

/** Asks for a certificate for one host name, with a key on the curve P-256; in DER. Source: RFC 2986, RFC 5280 §4.2.1.6. */
export function requestFor(domain: string, key: KeyObject): Buffer {
  const extensions = element(tags.sequence, subjectAltName(domain));
  const attribute = element(tags.sequence, oid.extensionRequest, element(tags.set, extensions));
  const version = Buffer.from('020100', 'hex');
  const noSubject = element(tags.sequence);
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const info = element(tags.sequence, version, noSubject, publicKey, element(0xa0, attribute));
  return signed(info, sign('sha256', info, key));
}

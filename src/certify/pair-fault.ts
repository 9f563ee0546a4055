import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { CertificatePair } from '../model/certificate.js';

/** Why a certificate that an authority gave cannot be used for a domain at `now` (epoch milliseconds); undefined if it can. */
export function pairFault(pair: CertificatePair, domain: string, now: number): string | undefined {
  try {
    const leaf = new X509Certificate(pair.cert);
    if (!leaf.checkPrivateKey(createPrivateKey(pair.key))) return 'the authority gave a certificate for another key';
    if (leaf.checkHost(domain.replace(/^\*/, 'x')) === undefined)
      return 'the authority gave a certificate for other names';
    if (Date.parse(leaf.validTo) <= now) return 'the authority gave a certificate that has run out';
    createSecureContext(pair);
    return undefined;
  } catch (error) {
    return `the authority gave a certificate that cannot be used: ${(error as Error).message}`;
  }
}

import { X509Certificate } from 'node:crypto';
import type { Renewal } from './authority.js';
import { contentOf, oid, tags } from './der.js';

const hourMs = 60 * 60_000;
/** If the authority does not say when to ask again, and the bounds of what it says: RFC 9773 §4.3. */
const askAfterMs = 6 * hourMs;
const soonestMs = 60_000;
const latestMs = 24 * hourMs;
const keyIdentifier = 0x80;

/** Names a certificate to its authority: RFC 9773 §4.1. Undefined if it does not say whose key signed it. */
export function certificateId(cert: string): string | undefined {
  const { raw, serialNumber } = new X509Certificate(cert);
  const at = raw.indexOf(oid.authorityKeyIdentifier);
  if (at < 0) return undefined;
  const value = contentOf(raw.subarray(at + oid.authorityKeyIdentifier.length), tags.octets);
  const fields = value && contentOf(value, tags.sequence);
  const key = fields && contentOf(fields, keyIdentifier);
  if (!key) return undefined;
  const hex = serialNumber.length % 2 === 0 ? serialNumber : `0${serialNumber}`;
  // A number with the highest bit set has a zero before it in DER.
  const serial = Buffer.from(/^[89a-f]/i.test(hex) ? `00${hex}` : hex, 'hex');
  return `${key.toString('base64url')}.${serial.toString('base64url')}`;
}

/** What an authority says of a certificate; one that says nothing of use is asked again later. */
export function renewalIn(body: Record<string, unknown>, retryAfterMs: number | undefined, now: number): Renewal {
  const askAt = now + Math.min(latestMs, Math.max(soonestMs, retryAfterMs ?? askAfterMs));
  const { start, end } = (body['suggestedWindow'] ?? {}) as Record<string, unknown>;
  const window = { start: Date.parse(String(start)), end: Date.parse(String(end)) };
  return window.start < window.end ? { window, askAt } : { askAt };
}

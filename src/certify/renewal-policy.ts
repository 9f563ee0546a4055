import { createHash, X509Certificate } from 'node:crypto';
import type { CertificatePair } from '../model/certificate.js';
import type { Renewal } from './authority.js';

const hourMs = 60 * 60_000;
const dayMs = 24 * hourMs;
/** The part of a certificate's life after which it is renewed, and how far from there one may be moved, so that not all come at once. */
const dueAfter = 2 / 3;
const spread = 1 / 24;
/** The part of its life before which no authority has one renewed: one that always says now would get an order after the other. */
const soonestAfter = 1 / 10;
/** After so many failures in a row the pause does not grow further. */
const firstPauseMs = 60_000;
const longestPauseMs = dayMs;

export interface Life {
  readonly notBefore: number;
  readonly notAfter: number;
}

export function lifeOf({ cert }: { readonly cert: string }): Life {
  const { validFrom, validTo } = new X509Certificate(cert);
  return { notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) };
}

/** When to renew a certificate that nobody says anything of, in epoch milliseconds; `random` from 0 to 1 chooses among right moments. */
export function renewalAt({ notBefore, notAfter }: Life, random: number): number {
  const life = notAfter - notBefore;
  return Math.round(notBefore + life * (dueAfter - spread * random));
}

/**
 * When to renew what a domain has: a moment in the authority's window (RFC 9773 §4.2), or after two thirds of its life if that says nothing
 * of use. The same on every node, and another for each domain. Undefined if the domain has none.
 */
export function renewalOf(
  { pair, renewal }: { readonly pair?: CertificatePair; readonly renewal?: Renewal },
  domain: string,
): number | undefined {
  if (!pair) return undefined;
  const random = createHash('sha256').update(domain).digest().readUInt16BE() / 65_535;
  const life = lifeOf(pair);
  const window = renewal?.window;
  if (!window || window.start >= window.end || window.start >= life.notAfter) return renewalAt(life, random);
  const wanted = window.start + (Math.min(window.end, life.notAfter) - window.start) * random;
  return Math.round(Math.max(wanted, life.notBefore + (life.notAfter - life.notBefore) * soonestAfter));
}

/** How long after the last of so many failures in a row the next attempt may begin: a minute, doubled each time up to a day. */
export function pauseAfter(failures: number, random: number): number {
  const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.max(0, failures - 1));
  return Math.round(pause * (1 + random / 4));
}

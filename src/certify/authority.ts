import type { CertificatePair } from '../model/certificate.js';

/** An account at an authority, to be kept. */
export interface Account {
  /** In PEM. */
  readonly key: string;
  /** Absent: not registered yet. */
  readonly url?: string;
}

/** By an answer below `/.well-known/acme-challenge/` of the domain, or by a record of its zone: RFC 8555 §8.3, §8.4. */
export type Proof = 'http-01' | 'dns-01';

/** What proves that a domain is served here; `answer` is the key authorization. */
export interface Challenge {
  readonly token: string;
  readonly answer: string;
}

export interface OrderTerms {
  readonly domain: string;
  readonly account: Account;
  readonly proof: Proof;
  /** The certificate that the new one replaces, if this authority gave it; in PEM. */
  readonly replaces?: string;
  /** Resolves when the authority may look for the proof. */
  readonly publish: (challenge: Challenge) => Promise<void>;
  readonly signal: AbortSignal;
}

export interface Ordered {
  readonly pair: CertificatePair;
  readonly account: Account;
}

/** When an authority wants a certificate to be renewed, and asked again; in epoch milliseconds. */
export interface Renewal {
  /** Absent: the authority does not say. */
  readonly window?: { readonly start: number; readonly end: number };
  readonly askAt: number;
}

/** Gives certificates for domains that we prove to serve. */
export interface Authority {
  newAccount(): Promise<Account>;
  /** Rejects with the authority's reason, or if the signal aborts. */
  order(terms: OrderTerms): Promise<Ordered>;
  /** Of a certificate that it gave (PEM). */
  renewal(cert: string, now: number, signal: AbortSignal): Promise<Renewal>;
}

/** An authority's refusal, in its words. */
export class AuthorityError extends Error {
  override readonly name = 'AuthorityError';
  /** Of the protocol, such as `urn:ietf:params:acme:error:rateLimited`; absent: of the connection. */
  readonly type: string | undefined;
  /** For so long it wants to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, more: { readonly type?: string; readonly retryAfterMs?: number | undefined } = {}) {
    super(message);
    this.type = more.type;
    this.retryAfterMs = more.retryAfterMs;
  }
}

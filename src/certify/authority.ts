import type { CertificatePair } from '../model/certificate.js';

/** An account at an authority, to be kept. */
export interface Account {
  /** In PEM. */
  readonly key: string;
  /** Absent: not registered yet. */
  readonly url?: string;
}

/** What is to be answered below `/.well-known/acme-challenge/` of a domain to prove that it is served here: RFC 8555 §8.3. */
export interface Challenge {
  readonly token: string;
  readonly answer: string;
}

export interface OrderTerms {
  readonly domain: string;
  readonly account: Account;
  /** Resolves when every node gives the challenge's answer. */
  readonly publish: (challenge: Challenge) => Promise<void>;
  readonly signal: AbortSignal;
}

export interface Ordered {
  readonly pair: CertificatePair;
  readonly account: Account;
}

/** Gives certificates for domains that we prove to serve. */
export interface Authority {
  newAccount(): Promise<Account>;
  /** Rejects with the authority's reason, or if the signal aborts. */
  order(terms: OrderTerms): Promise<Ordered>;
}

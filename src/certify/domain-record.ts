import type { CertificatePair } from '../model/certificate.js';
import type { Renewal } from './authority.js';
import { pauseAfter } from './renewal-policy.js';

/** What all nodes know of a domain's certificate. Times are epoch milliseconds of the node that wrote them: see isAhead. */
export interface DomainRecord {
  readonly pair?: CertificatePair;
  /** Directory of the authority that gave the pair. */
  readonly from?: string;
  /** What it said of the pair last. */
  readonly renewal?: Renewal;
  /** Somebody orders one until then; then another may. */
  readonly order?: { readonly by: string; readonly until: number };
  /** Orders in a row that failed, when the next may be tried, and at whom not before when: by directory. */
  readonly failed?: {
    readonly times: number;
    readonly retryAt: number;
    readonly reason: string;
    readonly patience?: Readonly<Record<string, number>>;
  };
}

/** An order that takes longer is given up. */
export const orderMs = 180_000;
/** No authority is left alone for longer. */
export const longestPatienceMs = 7 * 24 * 60 * 60_000;
const longestAskMs = 24 * 60 * 60_000;
const skewMs = 60_000;

/**
 * Whether `until`, which a node wrote that wanted it to be at most `longestMs` away, is still to come. The clock of a node that wrote more
 * than that is wrong: nobody waits for it, so that it costs an order too many at worst, and never a domain its certificate.
 */
export function isAhead(until: number | undefined, longestMs: number, now: number): boolean {
  return until !== undefined && until > now && until <= now + longestMs + skewMs;
}

/** Somebody orders a certificate. `authorities`: that may be asked one after the other. */
export function isOrdering({ order }: DomainRecord, authorities: number, now: number): boolean {
  return isAhead(order?.until, claimMs(authorities), now);
}

export function claimMs(authorities: number): number {
  return authorities * orderMs + 30_000;
}

/** An order failed, and the next may not be tried yet. */
export function isPausing({ failed }: DomainRecord, now: number): boolean {
  return failed !== undefined && isAhead(failed.retryAt, pauseAfter(failed.times, 1), now);
}

/** The authority has said when it wants to be asked again about the renewal. */
export function isRenewalKnown({ renewal }: DomainRecord, now: number): boolean {
  return isAhead(renewal?.askAt, longestAskMs, now);
}

/** The authority with this directory wants to be left alone. */
export function isPatient({ failed }: DomainRecord, directory: string, now: number): boolean {
  return isAhead(failed?.patience?.[directory], longestPatienceMs, now);
}

import type { CertificatePair } from '../model/certificate.js';
import type { Challenge } from './authority.js';
import type { Seal } from './seal.js';

/** What all nodes know of a domain's certificate. Times are epoch milliseconds. */
export interface DomainRecord {
  readonly pair?: CertificatePair;
  /** Somebody orders one until then; then another may. */
  readonly order?: { readonly by: string; readonly until: number; readonly challenge?: Challenge };
  /** Orders in a row that failed, and when the next may be tried. */
  readonly failed?: { readonly times: number; readonly retryAt: number; readonly reason: string };
}

/** Of a domain's certificate. */
export function recordName({ id }: Pick<Seal, 'id'>, domain: string): string {
  return `domain:${id}:${domain}`;
}

/** Throws SealBroken. No record is one that says nothing. */
export function openRecord(seal: Seal, domain: string, sealed: string | undefined): DomainRecord {
  return sealed === undefined ? {} : (JSON.parse(seal.open(recordName(seal, domain), sealed)) as DomainRecord);
}

export function closeRecord(seal: Seal, domain: string, record: DomainRecord): string {
  return seal.close(recordName(seal, domain), JSON.stringify(record));
}

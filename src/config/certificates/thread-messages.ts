import type { FoundCertificate } from '../../model/certificate.js';
import type { CertificateState } from './certificate-files.js';

/** To the thread. */
export interface CertificateQuestion {
  readonly id: number;
  readonly name: string;
  readonly have?: string | undefined;
}

/** From the thread; see CertificateFiles. */
export type CertificateReport =
  | { readonly kind: 'found'; readonly id: number; readonly found: FoundCertificate | undefined }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string }
  | { readonly kind: 'changed' }
  | { readonly kind: 'state'; readonly state: CertificateState }
  | { readonly kind: 'problem'; readonly file: string; readonly fault: string }
  | { readonly kind: 'error'; readonly message: string };

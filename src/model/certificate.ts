/** A certificate with its key, both in PEM. */
export interface CertificatePair {
  /** The certificate of the host first, then its chain. */
  readonly cert: string;
  readonly key: string;
}

/** What there is for a host name. */
export interface FoundCertificate {
  /** Changes with what was found. */
  readonly id: string;
  /** Absent: the same as what the asker has. */
  readonly pair?: CertificatePair;
}

/** Where certificates come from. */
export interface CertificateSource {
  /**
   * The certificate for a host name in lower case, `''` for clients that name none; undefined if there is none. `have`: the id of
   * what the asker has, which need not be sent again. Rejects if it cannot be told now.
   */
  find(name: string, have?: string): Promise<FoundCertificate | undefined>;
}

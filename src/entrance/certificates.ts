import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { CertificatePair, CertificateSource } from '../model/certificate.js';
import { Lru } from '../model/lru.js';

export interface CertificatesOptions {
  readonly source: CertificateSource;
  /** A certificate that was found cannot be used. */
  readonly onUnusable: (name: string, error: Error) => void;
}

/**
 * TLS 1.2 and newer, for browsers of the last ten years; source: Mozilla's "intermediate" set, without the key exchanges that cost
 * a server more than its clients. Client certificates are not asked for, and renegotiation is refused.
 */
export const tlsTerms: SecureContextOptions = {
  minVersion: 'TLSv1.2',
  ciphers: [
    ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
    ...['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
    ...['ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
  ].join(':'),
  ecdhCurve: 'X25519:prime256v1:secp384r1',
  // The choice is the client's: all are good, and it knows whether its processor has AES.
  honorCipherOrder: false,
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  // No authority is trusted for anything here; by default node would load a hundred.
  ca: [],
  // The same in all workers, which share tickets.
  sessionIdContext: 'fastcontainer',
  sessionTimeout: 4 * 60 * 60,
};

/** Of certificates that are ready for use, about 10 KB each. */
const mostContexts = 2_000;
const mostNames = 20_000;
/** The host name of a client; others have no certificate. */
const hostName = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;
const longestName = 253;
/** Names that are asked for at a time. */
const mostAsked = 1_000;

interface Known {
  readonly id: string;
  readonly generation: number;
}

/**
 * Certificates ready for handshakes: asked for when a client first names their host, and kept while they are among those used last.
 * If they cannot be asked for, the ones that are kept stay in use.
 */
export class Certificates {
  readonly #options: CertificatesOptions;
  readonly #contexts = new Lru<string, SecureContext>(mostContexts);
  readonly #names = new Lru<string, Known>(mostNames);
  /** What was found last for a name below a domain: most likely its wildcard. */
  readonly #below = new Lru<string, string>(mostNames);
  readonly #asking = new Map<string, Promise<SecureContext | undefined>>();
  #generation = 0;

  constructor(options: CertificatesOptions) {
    this.#options = options;
  }

  /** What was found may be another now: it is asked for again when it is next needed. */
  changed(): void {
    this.#generation += 1;
  }

  /**
   * The certificate for the host name that a client sent, at once if it is ready. Undefined if there is none; rejects if that cannot
   * be told.
   */
  of(sent: string): SecureContext | undefined | Promise<SecureContext | undefined> {
    const name = sent.toLowerCase().replace(/\.$/, '');
    if (name.length > longestName || !hostName.test(name)) return undefined;
    const known = this.#names.get(name);
    const ready = known && this.#contexts.get(known.id);
    if (ready && known.generation === this.#generation) return ready;
    const asked = this.#asking.get(name);
    if (asked) return asked;
    if (this.#asking.size >= mostAsked) return Promise.reject(new Error('too many host names are asked for at once'));
    const asking = this.#ask(name, known?.id, ready).finally(() => this.#asking.delete(name));
    this.#asking.set(name, asking);
    return asking;
  }

  /** What clients get that name no host; undefined if there is nothing, or if the source cannot be asked. */
  async fallback(): Promise<CertificatePair | undefined> {
    const found = await this.#options.source.find('').catch(() => undefined);
    return found?.pair;
  }

  async #ask(
    name: string,
    id: string | undefined,
    ready: SecureContext | undefined,
  ): Promise<SecureContext | undefined> {
    const generation = this.#generation;
    const domain = name.slice(name.indexOf('.') + 1);
    const guess = id ?? this.#below.get(domain);
    const have = guess !== undefined && this.#contexts.get(guess) ? guess : undefined;
    let found;
    try {
      found = await this.#options.source.find(name, have);
    } catch (error) {
      if (ready) return ready;
      throw error;
    }
    if (!found) {
      this.#names.delete(name);
      return undefined;
    }
    const context = this.#contexts.get(found.id) ?? this.#make(name, found.pair);
    if (!context) return ready;
    this.#contexts.set(found.id, context);
    this.#names.set(name, { id: found.id, generation });
    this.#below.set(domain, found.id);
    return context;
  }

  #make(name: string, pair: CertificatePair | undefined): SecureContext | undefined {
    if (!pair) return undefined;
    try {
      return createSecureContext({ ...tlsTerms, ...pair });
    } catch (error) {
      this.#options.onUnusable(name, error as Error);
      return undefined;
    }
  }
}

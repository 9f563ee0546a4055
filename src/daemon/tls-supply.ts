import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { CertificateThread } from '../config/certificates/certificate-thread.js';
import type { CertificateState } from '../config/certificates/certificate-files.js';
import type { TlsSettings } from '../config/config.js';
import type { CertificateSource } from '../model/certificate.js';
import type { Clock, Timer } from '../model/clock.js';
import { LogLimit } from '../telemetry/log-limit.js';

/** What a process that serves HTTPS gets from its daemon. */
export interface TlsSupply {
  readonly certificates: CertificateSource;
  /** 48 bytes that session tickets are encrypted with, the same in all processes of the daemon. */
  readonly ticketKeys: Buffer;
}

export interface DaemonTlsOptions {
  readonly tls: TlsSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  /** See Certificates. */
  readonly onChanged: () => void;
  /** From now on tickets are encrypted with these. */
  readonly onTicketKeys: (keys: Buffer) => void;
}

const ticketKeyBytes = 48;
/** A key that leaks decrypts TLS 1.2 sessions of this period. Tickets of the key before are not taken: a full handshake follows. */
const rotationMs = 12 * 60 * 60_000;

/** What a daemon has once for HTTPS, however many processes serve it: its certificate files, and the keys of session tickets. */
export class DaemonTls implements TlsSupply {
  readonly certificates: CertificateThread;
  readonly #options: DaemonTlsOptions;
  #ticketKeys = randomBytes(ticketKeyBytes);
  #rotation: Timer;

  constructor(options: DaemonTlsOptions) {
    const { tls, clock, logger, onChanged } = options;
    this.#options = options;
    const limit = new LogLimit({ clock, logger });
    this.certificates = new CertificateThread({
      patterns: tls.certificates,
      ...(tls.default !== undefined && { fallback: tls.default }),
      ...{ clock, logger, onChanged },
      onProblem: (file, fault) =>
        limit.log('certificate', { file, fault }, `${file} cannot be used: ${fault}; what it held before stays in use`),
    });
    this.#rotation = this.#rotateLater();
  }

  get ticketKeys(): Buffer {
    return this.#ticketKeys;
  }

  get state(): CertificateState {
    return this.certificates.state;
  }

  /** Always ok: the other domains have their certificates. */
  get check(): { readonly ok: boolean; readonly detail?: string } {
    const { problems, problem } = this.state;
    if (problem === undefined) return { ok: true };
    return { ok: true, detail: `${problems} cannot be used: ${problem}`.slice(0, 300) };
  }

  close(): Promise<void> {
    this.#rotation.cancel();
    return this.certificates.close();
  }

  #rotateLater(): Timer {
    return this.#options.clock.after(rotationMs, () => {
      this.#ticketKeys = randomBytes(ticketKeyBytes);
      this.#options.onTicketKeys(this.#ticketKeys);
      this.#rotation = this.#rotateLater();
    });
  }
}

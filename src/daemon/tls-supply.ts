import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { CertificateThread } from '../config/certificates/certificate-thread.js';
import type { CertificateState } from '../config/certificates/certificate-files.js';
import { AcmeAuthority } from '../certify/acme-authority.js';
import { Challenges } from '../certify/challenges.js';
import { DnsHook } from '../certify/dns-hook.js';
import { OrderBudget } from '../certify/order-budget.js';
import { OrderedCertificates, type OrderResult } from '../certify/ordered-certificates.js';
import { Seal } from '../certify/seal.js';
import { SealedDocuments, type SealedStore } from '../certify/sealed-documents.js';
import type { Cmdb } from '../cmdb/cmdb.js';
import type { AcmeSettings, TlsSettings } from '../config/config.js';
import type { CertificateSource, FoundCertificate } from '../model/certificate.js';
import type { Clock, Timer } from '../model/clock.js';
import { accountOf } from '../runtime/kept/account.js';
import { LogLimit } from '../telemetry/log-limit.js';

/** What a process that serves HTTPS gets from its daemon. */
export interface TlsSupply {
  readonly certificates: CertificateSource;
  /** 48 bytes that session tickets are encrypted with, the same in all processes of the daemon. */
  readonly ticketKeys: Buffer;
}

export interface DaemonTlsOptions {
  readonly tls: TlsSettings;
  /** Where ordered certificates are kept. */
  readonly cmdb: Pick<Cmdb, 'find'> & SealedStore;
  /** `cmdb.name`. */
  readonly installation: string;
  readonly onOrder: (result: OrderResult) => void;
  /** A record in the store was changed by somebody without the key. */
  readonly onBrokenRecord: () => void;
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

/** Certificates are asked for again after this long, so that one in use is renewed in time. */
const againMs = 10 * 60_000;
/** Domains without a certificate that are remembered. */
const mostFailing = 1_000;

/**
 * What a daemon has once for HTTPS, however many processes serve it: its certificate files, those that are ordered, and the keys of
 * session tickets.
 */
export class DaemonTls implements TlsSupply {
  readonly certificates: CertificateSource;
  readonly #files: CertificateThread;
  /** Undefined if none is ordered. */
  readonly #ordered: OrderedCertificates | undefined;
  /** Why the last order of a domain failed. */
  readonly #failing = new Map<string, string>();
  /** The last that could not be opened. */
  #brokenRecord: string | undefined;
  #again: Timer | undefined;
  readonly #limit: LogLimit;
  readonly #options: DaemonTlsOptions;
  #ticketKeys = randomBytes(ticketKeyBytes);
  #rotation: Timer;

  constructor(options: DaemonTlsOptions) {
    const { tls, clock, logger, onChanged } = options;
    this.#options = options;
    const limit = (this.#limit = new LogLimit({ clock, logger }));
    this.#files = new CertificateThread({
      patterns: tls.certificates,
      ...(tls.default !== undefined && { fallback: tls.default }),
      ...{ clock, logger, onChanged },
      onProblem: (file, fault) =>
        limit.log('certificate', { file, fault }, `${file} cannot be used: ${fault}; what it held before stays in use`),
    });
    this.#ordered = tls.acme && this.#order(tls.acme, limit);
    this.certificates = { find: (name, have) => this.#find(name, have) };
    this.#rotation = this.#rotateLater();
    if (this.#ordered) this.#askAgainLater();
  }

  get ticketKeys(): Buffer {
    return this.#ticketKeys;
  }

  get state(): CertificateState {
    return this.#files.state;
  }

  /** Always ok: the other domains have their certificates. */
  get check(): { readonly ok: boolean; readonly detail?: string } {
    const { problems, problem } = this.state;
    const [failing] = this.#failing;
    const details = [
      ...(problem === undefined ? [] : [`${problems} cannot be used: ${problem}`]),
      ...(failing ? [`${this.#failing.size} could not be ordered: ${failing.join(': ')}`] : []),
      ...(this.#brokenRecord === undefined ? [] : [`a record in the store was tampered with: ${this.#brokenRecord}`]),
    ];
    return details.length === 0 ? { ok: true } : { ok: true, detail: details.join('; ').slice(0, 300) };
  }

  async close(): Promise<void> {
    this.#rotation.cancel();
    this.#again?.cancel();
    await Promise.all([this.#files.close(), this.#ordered?.close()]);
  }

  /** Files go before what is ordered. */
  async #find(name: string, have?: string): Promise<FoundCertificate | undefined> {
    const file = await this.#files.find(name, have);
    if (file || !this.#ordered) return file;
    try {
      return await this.#ordered.find(name, have);
    } catch (err) {
      this.#limit.log('ordered certificate', { name, err }, 'whether a domain has a certificate cannot be told');
      throw err;
    }
  }

  #order({ authorities, key, email, dns }: AcmeSettings, limit: LogLimit): OrderedCertificates {
    const { cmdb, clock, logger, installation, onChanged, onOrder } = this.#options;
    const contact = email === undefined ? {} : { email };
    const documents = new SealedDocuments({
      ...{ cmdb, seal: new Seal(key, installation) },
      onBroken: (name) => this.#broken(name),
    });
    return new OrderedCertificates({
      ...{ cmdb, documents, clock, onChanged },
      challenges: new Challenges({ documents, clock }),
      budget: new OrderBudget({ documents, clock }),
      ...(dns && { dns: dnsHook(dns) }),
      authorities: new Map(authorities.map((one) => [one.directory, new AcmeAuthority({ ...one, ...contact })])),
      random: Math.random,
      me: randomBytes(9).toString('base64url'),
      onOrder: (domain, result, reason = '') => {
        onOrder(result);
        if (result === 'unclean')
          return limit.log(
            'dns',
            { domain, reason },
            `the record that proved ${domain} is left in its zone: ${reason}`,
          );
        this.#failing.delete(domain);
        if (result === 'ordered') return logger.info({ domain }, 'a certificate was ordered');
        if (result === 'saved') return logger.info({ domain }, 'the store took the certificate that it had not taken');
        if (this.#failing.size < mostFailing) this.#failing.set(domain, reason);
        const unsaved = `the certificate of ${domain} is lost if this process ends: the store did not take it: ${reason}`;
        const failed = `no certificate for ${domain} could be ordered: ${reason}`;
        limit.log('order', { domain, reason }, result === 'unsaved' ? unsaved : failed);
      },
    });
  }

  #broken(name: string): void {
    const { onBrokenRecord } = this.#options;
    onBrokenRecord();
    this.#brokenRecord = name;
    this.#limit.log(
      'broken record',
      { name },
      `the store has a record of tls.acme that was not sealed with its key: ${name}; it is made anew; see who else may write to the store`,
    );
  }

  #askAgainLater(): void {
    this.#again = this.#options.clock.after(againMs, () => {
      this.#options.onChanged();
      this.#askAgainLater();
    });
  }

  #rotateLater(): Timer {
    return this.#options.clock.after(rotationMs, () => {
      this.#ticketKeys = randomBytes(ticketKeyBytes);
      this.#options.onTicketKeys(this.#ticketKeys);
      this.#rotation = this.#rotateLater();
    });
  }
}

/** Throws an Error that names a user whom this machine does not have. */
function dnsHook({ command, user, timeoutMs }: NonNullable<AcmeSettings['dns']>): DnsHook {
  return new DnsHook({ command, timeoutMs, ...(user !== undefined && { user: accountOf(user) }) });
}

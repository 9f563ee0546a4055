import { createHash } from 'node:crypto';
import type { Cmdb } from '../cmdb/cmdb.js';
import type { CertificatePair, CertificateSource, FoundCertificate } from '../model/certificate.js';
import { type Clock, sleep } from '../model/clock.js';
import { Lru } from '../model/lru.js';
import { shared } from '../model/shared-work.js';
import { type Account, type Authority, AuthorityError, type Challenge } from './authority.js';
import type { Challenges } from './challenges.js';
import {
  claimMs,
  type DomainRecord,
  isOrdering,
  isPatient,
  isPausing,
  isRenewalKnown,
  longestPatienceMs,
  orderMs,
} from './domain-record.js';
import type { DnsHook } from './dns-hook.js';
import type { OrderBudget, Outcome } from './order-budget.js';
import { OrderTurns } from './order-turns.js';
import { pairFault } from './pair-fault.js';
import { lifeOf, pauseAfter, renewalOf } from './renewal-policy.js';
import type { SealedDocuments } from './sealed-documents.js';

/** `postponed`: the budget is used up. `unsaved`: what was ordered serves this process only, until the store takes it: `saved`.
 * `unclean`: a record of a zone could not be removed. */
export type OrderResult = 'ordered' | 'failed' | 'postponed' | 'unsaved' | 'saved' | 'unclean';

export interface OrderedCertificatesOptions {
  readonly cmdb: Pick<Cmdb, 'find'>;
  readonly documents: SealedDocuments;
  readonly challenges: Pick<Challenges, 'publish' | 'withdraw'>;
  readonly budget: Pick<OrderBudget, 'take'>;
  /** Absent: no wildcards are ordered. */
  readonly dns?: Pick<DnsHook, 'set' | 'unset'>;
  /** By their directories; the second is asked if the first does not give a certificate, and so on. */
  readonly authorities: ReadonlyMap<string, Authority>;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Random token of this process. */
  readonly me: string;
  /** A certificate is another than before. */
  readonly onChanged: () => void;
  readonly onOrder: (domain: string, result: OrderResult, reason?: string) => void;
}

interface Known {
  readonly lookAgainAt: number;
  readonly pair?: CertificatePair & { readonly id: string; readonly notAfter: number };
}

/** A host name of at least two labels, the last of which is no number. */
const orderable = /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const mostPairs = 2_000;
const mostNames = 20_000;
/** After this long the store is asked again. */
const knownMs = 60_000;
const lookMs = 1_000;
/** Without a budget: at least as long as a client's next visit takes. */
const longestPostponedMs = 10 * 60_000;
/** Authorities that are asked at a time when they want a certificate to be renewed. */
const mostAsking = 4;
const askMs = 30_000;
/** If an authority cannot be asked. */
const askAgainMs = 6 * 60 * 60_000;
/** Between tries to keep a certificate that the store did not take. */
const longestSavePauseMs = 30_000;
/** Of what an authority says. */
const longestReason = 500;
/** When the daemon ends, for records that are still in their zones. */
const lastCleaningMs = 5_000;

/**
 * Certificates that an authority gives when a client first asks for a domain of an app. All nodes share them, and one order, through the
 * store. What is in use stays in use while store or authority are away.
 */
export class OrderedCertificates implements CertificateSource {
  readonly #options: OrderedCertificatesOptions;
  readonly #pairs = new Lru<string, Known>(mostPairs);
  readonly #without = new Lru<string, number>(mostNames);
  readonly #looking = new Map<string, Promise<Known>>();
  readonly #ordering = new Map<string, Promise<void>>();
  readonly #asking = new Map<string, Promise<DomainRecord>>();
  /** Certificates that the store has not taken yet. */
  readonly #unsaved = new Map<string, DomainRecord>();
  readonly #saving = new Map<string, Promise<void>>();
  /** Records that are removed from their zones. */
  readonly #cleaning = new Map<string, Promise<void>>();
  /** Domains whose budget is used up, and until when they are not asked for again. */
  readonly #postponed = new Lru<string, number>(mostNames);
  readonly #turns = new OrderTurns();
  readonly #closing = new AbortController();
  readonly #closed = new AbortController();

  constructor(options: OrderedCertificatesOptions) {
    this.#options = options;
  }

  async find(name: string, have?: string): Promise<FoundCertificate | undefined> {
    if (!orderable.test(name)) return undefined;
    const now = this.#options.clock.now();
    const known = this.#pairs.get(name) ?? this.#pairs.get(wildcardOf(name));
    if (known?.pair && known.lookAgainAt > now) return found(known, have);
    if (!known && (this.#without.get(name) ?? 0) > now) return undefined;
    try {
      return found(await shared(this.#looking, name, () => this.#look(name)), have);
    } catch (error) {
      if (known?.pair && known.pair.notAfter > now) return found(known, have);
      throw error;
    }
  }

  /** Gives up the orders under way, and removes their records from zones if that is quick. */
  async close(): Promise<void> {
    const ends = new Error('the daemon ends');
    this.#closing.abort(ends);
    const last = this.#options.clock.after(lastCleaningMs, () => this.#closed.abort(ends));
    await Promise.allSettled(
      [this.#ordering, this.#looking, this.#asking, this.#saving].flatMap((map) => [...map.values()]),
    );
    await Promise.allSettled(this.#cleaning.values());
    last.cancel();
  }

  async #look(name: string): Promise<Known> {
    const { cmdb } = this.#options;
    const record = await cmdb.find({ domain: name });
    // Who may choose names below a wildcard could order without end: they share its certificate.
    const wanted = record && !record.removed ? this.#wantedFor(name, record.app.domains) : undefined;
    if (!record || wanted === undefined) return this.#lacks(name, knownMs);
    const known = await (wanted === name
      ? this.#certificateOf(name, record.app.name)
      : shared(this.#looking, wanted, () => this.#certificateOf(wanted, record.app.name)));
    if (!known.pair && wanted !== name) this.#without.set(name, known.lookAgainAt);
    return known;
  }

  /** The domain of the app whose certificate serves a host name; undefined if none is ordered for it. */
  #wantedFor(name: string, domains: readonly string[]): string | undefined {
    if (domains.includes(name)) return name;
    const wildcard = wildcardOf(name);
    return this.#options.dns && domains.includes(wildcard) ? wildcard : undefined;
  }

  async #certificateOf(name: string, app: string): Promise<Known> {
    const { clock } = this.#options;
    const before = await this.#read(name);
    const known = this.#take(name, before);
    if (known.pair && known.pair.notAfter > clock.now()) {
      void this.#renew(name, app, before).catch(() => {});
      return known;
    }
    await this.#order(name, app);
    return this.#take(name, await this.#read(name));
  }

  async #renew(name: string, app: string, before: DomainRecord): Promise<void> {
    const record = await this.#withRenewal(name, before);
    if (this.#isNeeded(name, record)) await this.#order(name, app);
  }

  /** The record with what its authority says now of the renewal, if it is time to ask. */
  async #withRenewal(name: string, record: DomainRecord): Promise<DomainRecord> {
    const { clock, authorities } = this.#options;
    const { pair, from = '' } = record;
    const authority = authorities.get(from);
    if (!pair || !authority || isRenewalKnown(record, clock.now()) || this.#unsaved.has(name)) return record;
    if (!this.#asking.has(name) && this.#asking.size >= mostAsking) return record;
    return shared(this.#asking, name, async () => {
      const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(askMs)]);
      const asked = await authority.renewal(pair.cert, clock.now(), signal).catch(() => undefined);
      // What it said before still holds.
      const renewal = asked ?? { ...record.renewal, askAt: clock.now() + askAgainMs };
      return this.#change(name, (now) => (now.pair?.cert === pair.cert ? { ...now, renewal } : now));
    });
  }

  async #read(name: string): Promise<DomainRecord> {
    return this.#unsaved.get(name) ?? (await this.#options.documents.read<DomainRecord>(documentOf(name))) ?? {};
  }

  async #change(name: string, change: (record: DomainRecord) => DomainRecord): Promise<DomainRecord> {
    const nothing: DomainRecord = {};
    const after = await this.#options.documents.change<DomainRecord>(documentOf(name), (before) => {
      const changed = change(before ?? nothing);
      return changed === nothing ? before : changed;
    });
    return after ?? nothing;
  }

  #take(name: string, { pair, failed }: DomainRecord): Known {
    const now = this.#options.clock.now();
    if (!pair) {
      const againAt = Math.max(failed?.retryAt ?? 0, this.#postponed.get(name) ?? 0);
      return this.#lacks(name, Math.min(knownMs, Math.max(lookMs, againAt - now)));
    }
    const id = `ordered ${createHash('sha256').update(pair.cert).digest('base64url')}`;
    const known = { lookAgainAt: now + knownMs, pair: { ...pair, id, notAfter: lifeOf(pair).notAfter } };
    this.#pairs.set(name, known);
    return known;
  }

  #lacks(name: string, forMs: number): Known {
    const until = this.#options.clock.now() + forMs;
    this.#pairs.delete(name);
    this.#without.set(name, until);
    return { lookAgainAt: until };
  }

  #isNeeded(name: string, record: DomainRecord): boolean {
    return (renewalOf(record, name) ?? 0) <= this.#options.clock.now();
  }

  #isDue(name: string, record: DomainRecord): boolean {
    const { clock, authorities } = this.#options;
    const now = clock.now();
    if (isOrdering(record, authorities.size, now) || isPausing(record, now) || this.#unsaved.has(name)) return false;
    return this.#isNeeded(name, record) && [...authorities.keys()].some((one) => !isPatient(record, one, now));
  }

  #order(name: string, app: string): Promise<void> {
    return shared(this.#ordering, name, () => this.#orderOnce(name, app));
  }

  /** Resolves when there is a certificate, or the record says why there is none. */
  async #orderOnce(name: string, app: string): Promise<void> {
    const { clock, budget, onOrder } = this.#options;
    const before = await this.#read(name);
    if (isOrdering(before, this.#options.authorities.size, clock.now())) return this.#awaitOther(name, before);
    if (!this.#isDue(name, before) || (this.#postponed.get(name) ?? 0) > clock.now()) return undefined;
    const others = await this.#turns.run(app, async () => {
      this.#closing.signal.throwIfAborted();
      const grant = await budget.take(app, name, before.pair !== undefined);
      if ('refused' in grant) {
        const { reason, waitMs } = grant.refused;
        this.#postponed.set(name, clock.now() + Math.min(longestPostponedMs, waitMs));
        onOrder(name, 'postponed', reason);
        return undefined;
      }
      let outcome: Outcome = 'none';
      try {
        const ended = await this.#claimAndOrder(name);
        outcome = ended.outcome;
        return ended.others;
      } finally {
        await grant.settle(outcome).catch(() => {});
      }
    });
    if (others) await this.#awaitOther(name, others);
  }

  /** `others`: the record, if another node was faster. */
  async #claimAndOrder(name: string): Promise<{ readonly outcome: Outcome; readonly others?: DomainRecord }> {
    const { clock, me, authorities, onOrder } = this.#options;
    const until = clock.now() + claimMs(authorities.size);
    const claimed = await this.#change(name, (record) =>
      this.#isDue(name, record) ? { ...record, order: { by: me, until } } : record,
    );
    if (claimed.order?.by !== me) return { outcome: 'unasked', others: claimed };
    /** Once the claim is over, the record is another's. */
    const ifMine = (change: (record: DomainRecord) => DomainRecord) =>
      this.#change(name, (record) => (record.order?.by === me ? change(record) : record));
    const refusals: Refusal[] = [];
    for (const [directory, authority] of authorities) {
      if (isPatient(claimed, directory, clock.now())) continue;
      try {
        const pair = await this.#orderFrom(name, directory, authority, claimed);
        await this.#keep(name, { pair, from: directory });
        return { outcome: 'certificate' };
      } catch (error) {
        if (this.#closing.signal.aborted) break;
        refusals.push({ directory, error: error as Error });
      }
    }
    // The daemon ends: another node may begin at once.
    if (this.#closing.signal.aborted) {
      await ifMine(({ order: _over, ...record }) => record);
      return { outcome: 'none' };
    }
    const reason = reasonOf(refusals);
    await ifMine(({ order: _over, failed, ...record }) => {
      const times = (failed?.times ?? 0) + 1;
      const retryAt = clock.now() + pauseAfter(times, this.#options.random());
      return { ...record, failed: { times, retryAt, reason, patience: patienceOf(failed, refusals, clock.now()) } };
    });
    onOrder(name, 'failed', reason);
    return { outcome: 'none' };
  }

  async #orderFrom(
    name: string,
    directory: string,
    authority: Authority,
    before: DomainRecord,
  ): Promise<CertificatePair> {
    const { clock } = this.#options;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(orderMs)]);
    const account = await this.#account(directory, authority);
    const replaces = before.from === directory ? before.pair?.cert : undefined;
    let open: Challenge | undefined;
    const { proof, set, unset } = this.#proofOf(name);
    const publish = (challenge: Challenge) => set((open = challenge), signal);
    try {
      const { pair, account: registered } = await authority.order({
        ...{ domain: name, account, proof, publish, signal },
        ...(replaces !== undefined && { replaces }),
      });
      if (registered.url !== account.url) await this.#keepAccount(directory, registered).catch(() => {});
      const fault = pairFault(pair, name, clock.now());
      if (fault !== undefined) throw new Error(fault);
      return pair;
    } finally {
      if (open) await unset(open);
    }
  }

  #proofOf(name: string) {
    const { challenges, dns, onOrder } = this.#options;
    if (!name.startsWith('*.') || !dns) {
      return {
        proof: 'http-01' as const,
        set: (challenge: Challenge) => challenges.publish(name, challenge),
        // What stays is dropped by the next that publishes.
        unset: () => challenges.withdraw(name).catch(() => {}),
      };
    }
    const domain = name.slice(2);
    return {
      proof: 'dns-01' as const,
      set: async (challenge: Challenge, signal: AbortSignal) => {
        await this.#cleaning.get(name);
        await dns.set(domain, challenge, signal);
      },
      // Nobody waits for it: the certificate is of use before.
      unset: (challenge: Challenge) => {
        void shared(this.#cleaning, name, () =>
          dns
            .unset(domain, challenge, this.#closed.signal)
            .catch((error: Error) => onOrder(name, 'unclean', error.message)),
        );
      },
    };
  }

  /** Uses a new certificate at once, and has the store keep it, however long that takes: authorities do not give it twice. */
  async #keep(name: string, record: DomainRecord): Promise<void> {
    const { documents, clock, onOrder, onChanged } = this.#options;
    const save = () => documents.change<DomainRecord>(documentOf(name), () => record);
    this.#unsaved.set(name, record);
    this.#take(name, record);
    onOrder(name, 'ordered');
    onChanged();
    try {
      await save();
      this.#unsaved.delete(name);
    } catch (error) {
      onOrder(name, 'unsaved', (error as Error).message.slice(0, longestReason));
      void shared(this.#saving, name, async () => {
        for (let pauseMs = lookMs; ; pauseMs = Math.min(longestSavePauseMs, pauseMs * 2)) {
          await sleep(clock, pauseMs, this.#closing.signal);
          const isSaved = await save().then(
            () => true,
            () => false,
          );
          if (isSaved) {
            this.#unsaved.delete(name);
            onOrder(name, 'saved');
          }
          if (isSaved || this.#closing.signal.aborted) return;
        }
      });
    }
  }

  async #awaitOther(name: string, record: DomainRecord): Promise<void> {
    const { clock, authorities } = this.#options;
    const limit = clock.monotonic() + claimMs(authorities.size);
    for (let seen = record; isOrdering(seen, authorities.size, clock.now()); seen = await this.#read(name)) {
      if (this.#closing.signal.aborted || clock.monotonic() > limit) return;
      await sleep(clock, lookMs, this.#closing.signal);
    }
  }

  /** The account of all nodes; of several that make one at once the first. */
  async #account(directory: string, authority: Authority): Promise<Account> {
    const { documents } = this.#options;
    const known = await documents.read<Account>(accountOf(directory));
    if (known) return known;
    const made = await authority.newAccount();
    return (await documents.change<Account>(accountOf(directory), (before) => before ?? made)) ?? made;
  }

  async #keepAccount(directory: string, account: Account): Promise<void> {
    await this.#options.documents.change<Account>(accountOf(directory), () => account);
  }
}

interface Refusal {
  readonly directory: string;
  readonly error: Error;
}

function reasonOf(refusals: readonly Refusal[]): string {
  const all = refusals.map(({ directory, error }) =>
    refusals.length === 1 ? error.message : `${new URL(directory).host}: ${error.message}`,
  );
  return all.join('; ').slice(0, longestReason);
}

/** Which authorities want to be left alone until when. */
function patienceOf(
  failed: DomainRecord['failed'],
  refusals: readonly Refusal[],
  now: number,
): Readonly<Record<string, number>> {
  const patience = { ...failed?.patience };
  for (const { directory, error } of refusals) {
    const forMs = error instanceof AuthorityError ? (error.retryAfterMs ?? 0) : 0;
    patience[directory] = now + Math.min(longestPatienceMs, forMs);
  }
  return patience;
}

/** The wildcard one label up. */
function wildcardOf(name: string): string {
  return `*${name.slice(name.indexOf('.'))}`;
}

function documentOf(name: string): string {
  return `domain:${name}`;
}

function accountOf(directory: string): string {
  return `account:${createHash('sha256').update(directory).digest('base64url')}`;
}

function found({ pair }: Known, have: string | undefined): FoundCertificate | undefined {
  if (!pair) return undefined;
  const { id, cert, key } = pair;
  return id === have ? { id } : { id, pair: { cert, key } };
}

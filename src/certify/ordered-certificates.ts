import { createHash, X509Certificate } from 'node:crypto';
import type { Cmdb } from '../cmdb/cmdb.js';
import type { CertificatePair, CertificateSource, FoundCertificate } from '../model/certificate.js';
import { type Clock, sleep } from '../model/clock.js';
import { Lru } from '../model/lru.js';
import { shared } from '../model/shared-work.js';
import type { Account, Authority, Challenge } from './authority.js';
import { closeRecord, type DomainRecord, openRecord, recordName } from './domain-record.js';
import { OrderBudget } from './order-budget.js';
import { pairFault } from './pair-fault.js';
import { pauseAfter, renewalAt } from './renewal-policy.js';
import type { Seal } from './seal.js';

/** `postponed`: the budget is used up. */
export type OrderResult = 'ordered' | 'failed' | 'postponed';

export interface OrderedCertificatesOptions {
  readonly cmdb: Pick<Cmdb, 'find' | 'sealed' | 'changeSealed'>;
  readonly seal: Seal;
  readonly authority: Authority;
  /** Names the authority: accounts of others are not used with it. */
  readonly directory: string;
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
const mostOrders = 4;
/** Orders at a time that run, wait for their turn or are another node's. */
const mostPending = 200;
/** An order that takes longer is given up; a while later another may begin. */
const orderMs = 180_000;
const claimMs = orderMs + 30_000;
const lookMs = 1_000;
/** Of what an authority says. */
const longestReason = 500;

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
  readonly #closing = new AbortController();
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #budget = new OrderBudget();

  constructor(options: OrderedCertificatesOptions) {
    this.#options = options;
  }

  async find(name: string, have?: string): Promise<FoundCertificate | undefined> {
    if (!orderable.test(name)) return undefined;
    const now = this.#options.clock.now();
    const known = this.#pairs.get(name);
    if (known?.pair && known.lookAgainAt > now) return found(known, have);
    if (!known && (this.#without.get(name) ?? 0) > now) return undefined;
    try {
      return found(await shared(this.#looking, name, () => this.#look(name)), have);
    } catch (error) {
      if (known?.pair && known.pair.notAfter > now) return found(known, have);
      throw error;
    }
  }

  /** Gives up the orders under way. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the daemon ends'));
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.allSettled([...this.#ordering.values(), ...this.#looking.values()]);
  }

  async #look(name: string): Promise<Known> {
    const { cmdb, clock } = this.#options;
    const record = await cmdb.find({ domain: name });
    // Who may choose names below a wildcard could order without end.
    if (!record || record.removed || !record.app.domains.includes(name)) return this.#lacks(name, knownMs);
    const before = await this.#read(name);
    const known = this.#take(name, before);
    if (known.pair && known.pair.notAfter > clock.now()) {
      if (renewalOf(known.pair, name) <= clock.now()) void this.#order(name, record.app.name).catch(() => {});
      return known;
    }
    await this.#order(name, record.app.name);
    return this.#take(name, await this.#read(name));
  }

  async #read(name: string): Promise<DomainRecord> {
    const { cmdb, seal } = this.#options;
    return openRecord(seal, name, await cmdb.sealed(recordName(seal, name)));
  }

  #take(name: string, { pair, failed }: DomainRecord): Known {
    const now = this.#options.clock.now();
    if (!pair) return this.#lacks(name, Math.min(knownMs, Math.max(lookMs, (failed?.retryAt ?? 0) - now)));
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

  #order(name: string, app: string): Promise<void> {
    return shared(this.#ordering, name, async () => {
      if (this.#ordering.size >= mostPending) throw new Error('too many certificates are ordered at once');
      const others = await this.#inTurn(() => this.#orderOnce(name, app));
      if (others) await this.#awaitOther(name, others);
    });
  }

  async #inTurn<T>(run: () => Promise<T>): Promise<T> {
    while (this.#running >= mostOrders) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running += 1;
    try {
      this.#closing.signal.throwIfAborted();
      return await run();
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** Resolves to the record if another node orders; else when there is a certificate, or the record says why there is none. */
  async #orderOnce(name: string, app: string): Promise<DomainRecord | undefined> {
    const { clock, me, authority, onOrder, onChanged } = this.#options;
    const isDue = (record: DomainRecord) => {
      const now = clock.now();
      const isHeld = (record.order?.until ?? 0) > now || (record.failed?.retryAt ?? 0) > now;
      return !isHeld && isNeeded(record, name, now);
    };
    const before = await this.#read(name);
    if (!isDue(before)) return before;
    if (!this.#budget.take(app, clock.monotonic())) {
      onOrder(name, 'postponed', 'as many certificates were ordered as may be in an hour');
      return undefined;
    }
    const claimed = await this.#change(name, (record) =>
      isDue(record) ? { ...record, order: { by: me, until: clock.now() + claimMs } } : record,
    );
    if (claimed.order?.by !== me) return claimed;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(orderMs)]);
    /** Once the claim is over, the record is another's. */
    const ifMine = (change: (record: DomainRecord) => DomainRecord) =>
      this.#change(name, (record) => (record.order?.by === me ? change(record) : record));
    const publish = async (challenge: Challenge) => {
      await ifMine((record) => ({ ...record, order: { by: me, until: record.order?.until ?? 0, challenge } }));
    };
    try {
      const account = await this.#account();
      const { pair, account: registered } = await authority.order({ domain: name, account, publish, signal });
      if (registered.url !== account.url) await this.#keepAccount(registered);
      const fault = pairFault(pair, name, clock.now());
      if (fault !== undefined) throw new Error(fault);
      await this.#change(name, () => ({ pair }));
      onOrder(name, 'ordered');
      onChanged();
    } catch (error) {
      const reason = (error as Error).message.slice(0, longestReason);
      await ifMine(({ order: _over, ...record }) => {
        // The daemon ends: another node may begin at once.
        if (this.#closing.signal.aborted) return record;
        const times = (record.failed?.times ?? 0) + 1;
        const retryAt = clock.now() + pauseAfter(times, this.#options.random());
        return { ...record, failed: { times, retryAt, reason } };
      });
      if (!this.#closing.signal.aborted) onOrder(name, 'failed', reason);
    }
    return undefined;
  }

  async #awaitOther(name: string, record: DomainRecord): Promise<void> {
    const { clock } = this.#options;
    const limit = clock.monotonic() + claimMs;
    for (let seen = record; (seen.order?.until ?? 0) > clock.now(); seen = await this.#read(name)) {
      if (this.#closing.signal.aborted || clock.monotonic() > limit) return;
      await sleep(clock, lookMs, this.#closing.signal);
    }
  }

  async #change(name: string, change: (record: DomainRecord) => DomainRecord): Promise<DomainRecord> {
    const { cmdb, seal } = this.#options;
    let after: DomainRecord = {};
    await cmdb.changeSealed(recordName(seal, name), (sealed) => {
      const before = openRecord(seal, name, sealed);
      after = change(before);
      return after === before ? sealed : closeRecord(seal, name, after);
    });
    return after;
  }

  get #accountName(): string {
    const { seal, directory } = this.#options;
    return `account:${seal.id}:${createHash('sha256').update(directory).digest('base64url')}`;
  }

  /** The account of all nodes; of several that make one at once the first. */
  async #account(): Promise<Account> {
    const { cmdb, seal, authority } = this.#options;
    const name = this.#accountName;
    const known = await cmdb.sealed(name);
    if (known !== undefined) return JSON.parse(seal.open(name, known)) as Account;
    const made = seal.close(name, JSON.stringify(await authority.newAccount()));
    const stored = await cmdb.changeSealed(name, (before) => before ?? made);
    return JSON.parse(seal.open(name, stored ?? made)) as Account;
  }

  async #keepAccount(account: Account): Promise<void> {
    const { cmdb, seal } = this.#options;
    const name = this.#accountName;
    await cmdb.changeSealed(name, () => seal.close(name, JSON.stringify(account)));
  }
}

function found({ pair }: Known, have: string | undefined): FoundCertificate | undefined {
  if (!pair) return undefined;
  const { id, cert, key } = pair;
  return id === have ? { id } : { id, pair: { cert, key } };
}

function lifeOf({ cert }: CertificatePair): { notBefore: number; notAfter: number } {
  const { validFrom, validTo } = new X509Certificate(cert);
  return { notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) };
}

/** The same on every node, and different for each domain. */
function renewalOf(pair: CertificatePair, name: string): number {
  const { notBefore, notAfter } = lifeOf(pair);
  const jitter = createHash('sha256').update(name).digest().readUInt16BE() / 65_535;
  return renewalAt(notBefore, notAfter, jitter);
}

function isNeeded({ pair }: DomainRecord, name: string, now: number): boolean {
  return !pair || renewalOf(pair, name) <= now;
}

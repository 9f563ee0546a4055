import type { Clock } from '../model/clock.js';
import { TokenBuckets } from '../model/token-buckets.js';
import type { Rate } from '../model/wake/rate.js';
import { isAhead } from './domain-record.js';
import { registeredDomain } from './registered-domain.js';
import type { SealedDocuments } from './sealed-documents.js';

const hourMs = 60 * 60_000;
/** What one app may order here: leaves some to others if one wants many. */
const perApp: Rate = { count: 20, periodMs: hourMs };
/** What all nodes may; Let's Encrypt allows an account 300 in three hours. */
const total: Rate = { count: 200, periodMs: 3 * hourMs };
/** What all nodes may for one registered domain; Let's Encrypt allows 50 in a week. */
const perDomain: Rate = { count: 40, periodMs: 7 * 24 * hourMs };
/** Apps that are told apart. */
const mostApps = 10_000;

export interface OrderBudgetOptions {
  readonly documents: SealedDocuments;
  readonly clock: Clock;
}

/** When a bucket will be full again, in epoch milliseconds. */
interface Bucket {
  readonly fullAt: number;
}

interface Refusal {
  readonly reason: string;
  readonly waitMs: number;
}

/** `unasked`: another node was faster, and no authority was asked. */
export type Outcome = 'certificate' | 'none' | 'unasked';

/** An order that may begin. */
export interface Grant {
  /** Gives back what it did not use. Only a certificate counts for its domain: who orders what never comes keeps nobody from getting one. */
  settle(outcome: Outcome): Promise<void>;
}

/** Keeps the orders of all nodes below what authorities allow. */
export class OrderBudget {
  readonly #options: OrderBudgetOptions;
  readonly #apps = new TokenBuckets(mostApps);

  constructor(options: OrderBudgetOptions) {
    this.#options = options;
  }

  /** Whether an order of this app for this domain may begin; then it counts. Renewals are not counted by domain: RFC 9773 §5. */
  async take(app: string, domain: string, isRenewal: boolean): Promise<Grant | { readonly refused: Refusal }> {
    const { clock } = this.#options;
    const appWaitMs = this.#apps.waitMs(app, perApp, clock.monotonic());
    if (appWaitMs > 0) return refusal(`the app ${app} ordered ${perApp.count} in an hour`, appWaitMs);
    // Before anything is awaited: its other orders see it.
    this.#apps.take(app, perApp, clock.monotonic());
    const registered = await registeredDomain(domain.replace(/^\*\./, ''));
    const own = `budget:${registered}`;
    const domainWaitMs = isRenewal ? 0 : await this.#take(own, perDomain);
    if (domainWaitMs > 0) return refusal(`${registered} got ${perDomain.count} in a week`, domainWaitMs);
    const totalWaitMs = await this.#take('budget', total);
    const settle = async (outcome: Outcome) => {
      if (outcome !== 'certificate' && !isRenewal) await this.#giveBack(own, perDomain);
      if (outcome === 'unasked') await this.#giveBack('budget', total);
    };
    if (totalWaitMs === 0) return { settle };
    await settle('none');
    return refusal(`${total.count} were ordered in three hours`, totalWaitMs);
  }

  /** Milliseconds to wait for a token; 0 if one was taken. */
  async #take(name: string, rate: Rate): Promise<number> {
    const { documents, clock } = this.#options;
    const tokenMs = rate.periodMs / rate.count;
    let waitMs = 0;
    await documents.change<Bucket>(name, (before) => {
      const now = clock.now();
      const fullAt = before && isAhead(before.fullAt, rate.periodMs, now) ? before.fullAt : now;
      waitMs = Math.max(0, fullAt - now - rate.periodMs + tokenMs);
      return waitMs > 0 ? before : { fullAt: fullAt + tokenMs };
    });
    return waitMs;
  }

  async #giveBack(name: string, rate: Rate): Promise<void> {
    await this.#options.documents.change<Bucket>(
      name,
      (before) => before && { fullAt: before.fullAt - rate.periodMs / rate.count },
    );
  }
}

function refusal(what: string, waitMs: number): { readonly refused: Refusal } {
  return { refused: { reason: `the budget is used up: ${what}`, waitMs } };
}

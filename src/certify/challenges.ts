import { challengeToken } from '../model/acme-challenge.js';
import type { Clock } from '../model/clock.js';
import type { Challenge } from './authority.js';
import { FreshLook } from './fresh-look.js';
import type { SealedDocuments } from './sealed-documents.js';

export interface ChallengesOptions {
  readonly documents: SealedDocuments;
  readonly clock: Clock;
}

interface Open extends Challenge {
  readonly domain: string;
  /** Then it goes: its node has ended without withdrawing it. */
  readonly until: number;
}

const documentName = 'challenges';
/** More than all nodes together order at a time; about 200 bytes each. */
const most = 1_000;
/** Longer than an order takes, so that nodes whose clocks differ keep each other's. */
const keptMs = 60 * 60_000;

/**
 * What authorities ask of domains while certificates are ordered: one document for all nodes. So whoever asks for challenges that are none
 * causes one look in the store at a time, and delays nobody.
 */
export class Challenges {
  readonly #options: ChallengesOptions;
  readonly #look: FreshLook<readonly Open[]>;

  constructor(options: ChallengesOptions) {
    this.#options = options;
    this.#look = new FreshLook(async () => (await options.documents.read<readonly Open[]>(documentName)) ?? []);
  }

  /** Resolves when every node gives its answer. */
  async publish(domain: string, { token, answer }: Challenge): Promise<void> {
    const now = this.#options.clock.now();
    const until = now + keptMs;
    await this.#options.documents.change<readonly Open[]>(documentName, (before = []) => {
      const open = before.filter((one) => one.until > now && one.domain !== domain);
      if (open.length >= most) throw new Error('too many challenges are open');
      return [...open, { domain, token, answer, until }];
    });
  }

  async withdraw(domain: string): Promise<void> {
    await this.#options.documents.change<readonly Open[]>(documentName, (before) => {
      const open = before?.filter((one) => one.domain !== domain);
      return open?.length === 0 ? undefined : open?.length === before?.length ? before : open;
    });
  }

  /** Undefined if no order has such a challenge: then the request is the app's. Rejects if the store is away. */
  async answerTo(domain: string, target: string): Promise<string | undefined> {
    const asked = challengeToken(target);
    if (asked === undefined) return undefined;
    const open = await this.#look.get();
    return open.find((one) => one.domain === domain && one.token === asked)?.answer;
  }
}

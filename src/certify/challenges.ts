import type { Cmdb } from '../cmdb/cmdb.js';
import { challengeToken } from '../model/acme-challenge.js';
import { shared } from '../model/shared-work.js';
import { openRecord, recordName } from './domain-record.js';
import type { Seal } from './seal.js';

export interface ChallengesOptions {
  readonly cmdb: Pick<Cmdb, 'sealed'>;
  readonly seal: Seal;
}

/** Looks in the store at a time. */
const mostLooks = 100;

/** Answers what an authority asks of a domain while a certificate for it is ordered, by this node or another. */
export class Challenges {
  readonly #options: ChallengesOptions;
  readonly #looking = new Map<string, Promise<string | undefined>>();

  constructor(options: ChallengesOptions) {
    this.#options = options;
  }

  /** Undefined if no order of ours has such a challenge: then the request is the app's. Rejects if the store is away. */
  async answerTo(domain: string, target: string): Promise<string | undefined> {
    const asked = challengeToken(target);
    if (asked === undefined || this.#looking.size >= mostLooks) return undefined;
    const answer = await shared(this.#looking, domain, () => this.#look(domain));
    return answer?.startsWith(`${asked}.`) ? answer : undefined;
  }

  async #look(domain: string): Promise<string | undefined> {
    const { cmdb, seal } = this.#options;
    return openRecord(seal, domain, await cmdb.sealed(recordName(seal, domain))).order?.challenge?.answer;
  }
}

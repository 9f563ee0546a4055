import type { Logger } from 'pino';

export interface UnreadableRecordsOptions {
  readonly logger: Logger;
  /** Records told apart and logged one by one; more are only counted with the next line. 1,000 by default. */
  readonly most?: number;
  /** The record of this app is one that nobody with the key has signed. */
  readonly onForgedApp?: (app: string) => void;
}

/** Records of the CMDB that were found unreadable and not readable again since: each is logged once, not with every read. */
export class UnreadableRecords {
  readonly #logger: Logger;
  readonly #most: number;
  readonly #onForgedApp: (app: string) => void;
  /** What is wrong, by record. */
  readonly #problems = new Map<string, string>();
  #isFull = false;

  constructor({ logger, most = 1_000, onForgedApp = () => {} }: UnreadableRecordsOptions) {
    this.#logger = logger;
    this.#most = most;
    this.#onForgedApp = onForgedApp;
  }

  get count(): number {
    return this.#problems.size;
  }

  /** Whether this record is one of them, such as `app hello`. */
  has(record: string): boolean {
    return this.#problems.has(record);
  }

  /** Names some of them; undefined if there are none. */
  get summary(): string | undefined {
    if (this.count === 0) return undefined;
    const [first = ''] = this.#problems.keys();
    return this.count === 1
      ? `cannot be read and is skipped: ${first}`
      : `cannot be read and are skipped: ${first} and ${this.count - 1} more`;
  }

  /** See UnreadableReport. */
  readonly report = (record: string, problem: string | undefined, isForged = false): void => {
    if (problem === undefined) {
      this.#isFull = false;
      if (this.#problems.delete(record)) this.#logger.info({ record }, 'a record in the CMDB is no longer unreadable');
      return;
    }
    if (this.#problems.get(record) === problem) return;
    if (isForged && record.startsWith('app ')) this.#onForgedApp(record.slice('app '.length));
    if (this.#problems.size >= this.#most && !this.#problems.has(record)) {
      if (!this.#isFull)
        this.#logger.error({ records: this.count }, 'more records in the CMDB cannot be read than are named');
      this.#isFull = true;
      return;
    }
    this.#problems.set(record, problem);
    this.#logger.error(
      { record, problem },
      `${record}: its record in the CMDB cannot be read and is skipped: ${problem}`,
    );
  };
}

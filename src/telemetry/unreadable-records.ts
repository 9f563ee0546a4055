import type { Logger } from 'pino';

export interface UnreadableRecordsOptions {
  readonly logger: Logger;
  /** Records that are remembered and logged one by one, 1,000 by default; one line tells that there are more. */
  readonly most?: number;
  /** Called with an app whose record was not signed with the key. */
  readonly onForgedApp?: (app: string) => void;
}

/** The records of the CMDB that cannot be read at present: each is logged once, not with every read. */
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

  /** Whether this record, such as `app hello`, is unreadable. */
  has(record: string): boolean {
    return this.#problems.has(record);
  }

  /** Names one and counts the others; undefined if there are none. */
  get summary(): string | undefined {
    if (this.count === 0) return undefined;
    const [first = ''] = this.#problems.keys();
    return this.count === 1
      ? `cannot be read and is skipped: ${first}`
      : `cannot be read and are skipped: ${first} and ${this.count - 1} more`;
  }

  /** An `UnreadableReport`. */
  readonly report = (record: string, problem: string | undefined, isForged = false): void => {
    if (problem === undefined) {
      this.#isFull = false;
      if (this.#problems.delete(record)) this.#logger.info({ record }, 'a record in the CMDB can be read again');
      return;
    }
    if (this.#problems.get(record) === problem) return;
    if (isForged && record.startsWith('app ')) this.#onForgedApp(record.slice('app '.length));
    if (this.#problems.size >= this.#most && !this.#problems.has(record)) {
      if (!this.#isFull)
        this.#logger.error(
          { records: this.count },
          'too many records in the CMDB cannot be read: further ones are not named',
        );
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

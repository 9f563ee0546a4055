import { emptyDeployment } from '../model/deployment.js';
import type { Session, UnreadableReport } from './cmdb.js';
import { type RecordFormat, SignatureError, type StoredApp, type StoredDeployment } from './record-format.js';
import { decodeSession } from './session-format.js';

/** Records that are remembered as unreadable, so that it can be told when they no longer are. */
const mostReported = 10_000;

/** Reads stored texts. What cannot be read is reported and skipped; what was reported and no longer is so, too. */
export class RecordReader {
  readonly format: RecordFormat;
  readonly #report: UnreadableReport;
  readonly #reported = new Set<string>();

  constructor(format: RecordFormat, report: UnreadableReport) {
    this.format = format;
    this.#report = report;
  }

  app(name: string, text: string | undefined): StoredApp | undefined {
    return this.#read('app', name, text, (signed) => this.format.decodeApp(name, signed));
  }

  /** One that cannot be read counts as empty. */
  deployment(name: string, text: string | undefined): StoredDeployment {
    const stored = this.#read('deployment', name, text, (signed) => this.format.decodeDeployment(name, signed));
    return stored ?? { deployment: emptyDeployment(name), version: '' };
  }

  session(incarnation: string, text: string): Session | undefined {
    return this.#read('session', incarnation, text, () => decodeSession(incarnation, text));
  }

  #read<T>(kind: string, name: string, text: string | undefined, decode: (text: string) => T): T | undefined {
    try {
      const value = text === undefined ? undefined : decode(text);
      if (this.#reported.size > 0 && this.#reported.delete(`${kind} ${name}`))
        this.#report(`${kind} ${name}`, undefined);
      return value;
    } catch (error) {
      const record = `${kind} ${name}`;
      if (this.#reported.size < mostReported) this.#reported.add(record);
      this.#report(record, error instanceof Error ? error.message : String(error), error instanceof SignatureError);
      return undefined;
    }
  }
}

import { emptyDeployment } from '../model/deployment.js';
import type { Session, UnreadableReport } from './cmdb.js';
import { type RecordFormat, SignatureError, type StoredApp, type StoredDeployment } from './record-format.js';
import { decodeSession } from './session-format.js';

/** Unreadable records that are remembered, to report when they can be read again. */
const mostReported = 10_000;

/** Reads stored texts. Reports and skips unreadable ones, and reports when they can be read again. */
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

  /** An unreadable deployment counts as empty. */
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

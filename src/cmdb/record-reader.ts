import { emptyDeployment } from '../model/deployment.js';
import { Lru } from '../model/lru.js';
import type { Session, UnreadableReport } from './cmdb.js';
import { type RecordFormat, SignatureError, type StoredApp, type StoredDeployment } from './record-format.js';
import { decodeSession } from './session-format.js';

/** Unreadable records that are remembered, to report when they can be read again. */
const mostReported = 10_000;
/** Decoded records that are kept, and the longest text of one. */
const mostKept = 1_000;
const longestKept = 8_192;

interface Decoded {
  readonly text: string;
  readonly value: unknown;
}

/**
 * Reads stored texts. Reports and skips unreadable ones, and reports when they can be read again. What it decoded last is kept with its
 * text: a boot reads the same records many times, and checking a signature costs more than reading the text.
 */
export class RecordReader {
  readonly format: RecordFormat;
  readonly #report: UnreadableReport;
  readonly #reported = new Set<string>();
  readonly #decoded = new Lru<string, Decoded>(mostKept);

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
    const record = `${kind} ${name}`;
    try {
      const value = text === undefined ? undefined : this.#decode(record, text, decode);
      if (this.#reported.size > 0 && this.#reported.delete(record)) this.#report(record, undefined);
      return value;
    } catch (error) {
      if (this.#reported.size < mostReported) this.#reported.add(record);
      this.#report(record, error instanceof Error ? error.message : String(error), error instanceof SignatureError);
      return undefined;
    }
  }

  #decode<T>(record: string, text: string, decode: (text: string) => T): T {
    const known = this.#decoded.get(record);
    if (known?.text === text) return known.value as T;
    const value = decode(text);
    if (text.length <= longestKept) this.#decoded.set(record, { text, value });
    return value;
  }
}

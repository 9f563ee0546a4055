import type { Logger } from 'pino';
import type { AccessLog, AccessRecord } from '../../model/access-record.js';
import type { Clock } from '../../model/clock.js';
import { LogLimit } from '../log-limit.js';
import { combinedLine, type Format, jsonLine, type Redaction } from './format.js';
import { LogFile } from './log-file.js';

export interface AccessLogSettings {
  readonly file: string;
  readonly format: 'json' | 'combined';
  /** Share of the requests that are logged, beside those that failed or were cold. */
  readonly sample: number;
  readonly redact: readonly Redaction[];
}

interface AccessLogOptions {
  readonly settings: AccessLogSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onDropped: (lines: number) => void;
}

const formats: Readonly<Record<AccessLogSettings['format'], Format>> = { json: jsonLine, combined: combinedLine };

/** One line for each request, or for a sample of them. */
export class AccessLogFile implements AccessLog {
  readonly #settings: AccessLogSettings;
  readonly #format: Format;
  readonly #file: LogFile;
  /** Sampling takes each n-th, so that the share is exact. */
  #share = 0;

  constructor({ settings, clock, logger, onDropped }: AccessLogOptions) {
    this.#settings = settings;
    this.#format = formats[settings.format];
    const limit = new LogLimit({ clock, logger, lines: 1 });
    const onError = (err: Error) =>
      limit.log('access log', { err, file: settings.file }, 'the access log cannot be written: its lines are dropped');
    this.#file = new LogFile({ path: settings.file, clock, onDropped, onError });
  }

  write(record: AccessRecord): void {
    if (this.#settings.sample < 1 && !isNotable(record) && !this.#isInSample()) return;
    this.#file.write(this.#format(record, this.#settings.redact));
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #isInSample(): boolean {
    this.#share += this.#settings.sample;
    if (this.#share < 1) return false;
    this.#share -= 1;
    return true;
  }
}

/** What an operator looks for is never left out. */
function isNotable({ cold, status, outcome }: AccessRecord): boolean {
  return cold || status >= 500 || outcome === 'upstream_gone';
}

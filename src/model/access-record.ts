/** What the access log tells of a request. Texts are as the client or the app sent them. */
export interface AccessRecord {
  /** When the request came; epoch milliseconds. */
  readonly at: number;
  readonly client: string | undefined;
  readonly method: string;
  /** Undefined if the request could not be read. */
  readonly target: string | undefined;
  readonly version: string;
  readonly host: string | undefined;
  readonly app: string | undefined;
  readonly instance: string | undefined;
  readonly cold: boolean;
  /** Of a cold request; milliseconds. */
  readonly phases: Readonly<Record<string, number>> | undefined;
  readonly status: number;
  readonly outcome: string;
  /** Code of an answer in the app's place. */
  readonly error: string | undefined;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly durationMs: number;
  readonly requestId: string | undefined;
  readonly traceparent: string | undefined;
  readonly userAgent: string | undefined;
  readonly referer: string | undefined;
}

/** Takes a record, and never blocks: what it cannot write it counts. */
export interface AccessLog {
  write(record: AccessRecord): void;
}

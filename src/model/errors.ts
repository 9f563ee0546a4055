import { randomBytes } from 'node:crypto';

/** One row of the error table: what anybody may see, and what the operator should do. */
interface ErrorRow {
  readonly status: number;
  readonly title: string;
  /** For the public: says nothing of the inside. */
  readonly advice: string;
  /** For the operator, in docs/errors.md only. */
  readonly remedy: string;
}

/** Every answer that the dispatcher gives in the app's place. The one source of docs/errors.md. */
export const errorTable = {
  unknown_domain: {
    status: 404,
    title: 'No app serves this domain',
    advice: 'Check the address.',
    remedy: 'Add the domain to an app, or point its DNS elsewhere.',
  },
  bad_request: {
    status: 400,
    title: 'The request is not valid HTTP',
    advice: 'The client sent what cannot be served safely.',
    remedy: 'Fix the client; the detail names what was refused.',
  },
  request_timeout: {
    status: 408,
    title: 'The request did not arrive in time',
    advice: 'Try again over a better connection.',
    remedy: 'Send it faster, or try again over a better connection.',
  },
  payload_too_large: {
    status: 413,
    title: 'The request body is too large',
    advice: 'Send less.',
    remedy: 'Send less, or raise maxRequestBody of the app.',
  },
  uri_too_long: {
    status: 414,
    title: 'The address of the request is too long',
    advice: 'Send a shorter one.',
    remedy: 'Send a shorter one (a form can POST), or raise http.maxUrlSize.',
  },
  expectation_failed: {
    status: 417,
    title: 'The request expects what this server does not know',
    advice: 'Send Expect: 100-continue, or no Expect at all.',
    remedy: 'Send Expect: 100-continue, or no Expect at all.',
  },
  too_many_requests: {
    status: 429,
    title: 'There were too many requests',
    advice: 'Wait before you try again.',
    remedy:
      'Wait, as Retry-After says, or raise requests.perClient or requests.perApp of the app; the cause in the log says which.',
  },
  headers_too_large: {
    status: 431,
    title: 'The request headers are too large',
    advice: 'Send fewer or smaller headers: clearing the cookies of this site often helps.',
    remedy: 'Send fewer or smaller headers (often: clear the cookies of this site), or raise http.maxHeaderSize.',
  },
  internal_error: {
    status: 500,
    title: 'This server failed',
    advice: 'Try again later.',
    remedy:
      'A defect of fastcontainer, not of the client or the app: the log has its cause and stack under the reference. Report it.',
  },
  method_unknown: {
    status: 501,
    title: 'The method of the request is not known here',
    advice: 'Use one of the registered methods of HTTP.',
    remedy:
      'Use a method that the HTTP parser of Node.js knows (docs/http.md); no app behind this server can get another.',
  },
  app_asleep: {
    status: 503,
    title: 'The app is asleep',
    advice: 'Load or use a page of this site to wake it.',
    remedy:
      'The WebSocket of this client was ended because nothing flowed on it, and its reconnect alone does not wake the app for websocket.quiet.',
  },
  app_booting: {
    status: 503,
    title: 'The app is starting',
    advice: 'It opens in a moment.',
    remedy: 'Nothing: with waiting: page a browser gets a page that waits for the boot (docs/waiting.md).',
  },
  wake_denied: {
    status: 503,
    title: 'The app is asleep',
    advice: 'Try again later.',
    remedy:
      'A rule or a budget of `wake` (docs/wake.md) kept this request from waking the app; the log line with the reference and the metric fastcontainer_wake_verdicts_total name it. `asleep` may give such answers another status.',
  },
  maintenance: {
    status: 503,
    title: 'This site is under maintenance',
    advice: 'Try again later.',
    remedy:
      'The app says so (`maintenance`), or an operator does; `PUT /v1/apps/{name}/maintenance` with `off` ends it.',
  },
  queue_full: {
    status: 503,
    title: 'Too many requests wait for this app',
    advice: 'Try again later.',
    remedy: 'Raise queue.max, concurrency.max or scale.max of the app.',
  },
  queue_timeout: {
    status: 503,
    title: 'The request waited too long for the app',
    advice: 'Try again later.',
    remedy:
      'The app is slow to boot, overloaded, or waits for itself (the log says if it asked its own domain); see queue.timeout and concurrency.max.',
  },
  boot_failed: {
    status: 503,
    title: 'The app could not be started',
    advice: 'Try again later.',
    remedy: 'The log names the cause and shows the last output of the app. A new attempt follows after a back-off.',
  },
  boot_timeout: {
    status: 504,
    title: 'The app did not become ready in time',
    advice: 'Try again later.',
    remedy:
      'Check that the app listens on the PORT it was given and answers its readiness check, or raise bootTimeout.',
  },
  cmdb_unavailable: {
    status: 503,
    title: 'The configuration store cannot be reached',
    advice: 'Try again shortly.',
    remedy: 'See /readyz and the log; apps that already run keep answering.',
  },
  shutting_down: {
    status: 503,
    title: 'This server is shutting down',
    advice: 'Try again shortly.',
    remedy: 'Try again: another server or the restarted one will answer.',
  },
  upstream_unreachable: {
    status: 502,
    title: 'The app does not accept connections',
    advice: 'Try again later.',
    remedy: 'The instance runs but refuses connections; see the log of the app.',
  },
  upstream_reset: {
    status: 502,
    title: 'The app broke off before it answered',
    advice: 'Try again later.',
    remedy: 'The app closed the connection or answered something that is not HTTP; see its log.',
  },
  upstream_timeout: {
    status: 504,
    title: 'The app did not answer in time',
    advice: 'Try again later.',
    remedy: 'The app is stuck or slow; see requestTimeout.',
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

interface RequestErrorOptions {
  /** For the log and the operator; never shown to clients. */
  readonly cause?: unknown;
  /** Seconds until a retry makes sense; every 503 has one, by default 1. */
  readonly retryAfterS?: number;
  /** Status and body in the place of those of the table. */
  readonly answer?: OwnAnswer;
}

/** What an error is answered with in the place of its page. */
export interface OwnAnswer {
  readonly status: number;
  readonly body?: { readonly type: string; readonly text: string };
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request that ends in a row of the error table. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly retryAfterS: number | undefined;
  /** What is said in the place of the table. */
  readonly answer: OwnAnswer | undefined;
  /** Shown to the client and logged, so that an operator finds the line that belongs to a client's report. */
  readonly reference = randomBytes(5).toString('hex');

  constructor(code: ErrorCode, message: string = errorTable[code].title, options: RequestErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.status = options.answer?.status ?? errorTable[code].status;
    this.answer = options.answer;
    this.retryAfterS = options.retryAfterS ?? (this.status === 503 ? 1 : undefined);
  }

  /** The message, if it is about the client's request or for the public; what failed inside is not shown to clients. */
  get publicDetail(): string | undefined {
    const isPublic = this.status < 500 || this.code === 'maintenance';
    return isPublic && this.message !== errorTable[this.code].title ? this.message : undefined;
  }
}

/** Whether the store could not be reached, or did not answer in time: the same may succeed later. */
export function isStoreAway(error: unknown): boolean {
  return error instanceof RequestError && error.code === 'cmdb_unavailable';
}

/** Whether it was thrown by a programming error. What Node, libraries and the system throw on bad input has a `code`. */
export function isDefect(error: unknown): error is Error {
  const isOfCode = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
  return isOfCode && !('code' in error);
}

/** The log level of a failure that is tried again: `error` for a defect, which retrying does not mend. */
export function levelOf(error: unknown): 'error' | 'debug' {
  return isDefect(error) ? 'error' : 'debug';
}

/** The answer to a request that failed. Any other error is a defect of ours: an `internal_error` with its cause for the log. */
export function asRequestError(error: unknown): RequestError {
  return error instanceof RequestError ? error : new RequestError('internal_error', undefined, { cause: error });
}

/** What the page reads of the answers of the admin API; `/openapi.json` has all of it. */
export interface AppSummary {
  readonly name: string;
  readonly domains: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly runtime: string;
  readonly revision: string;
  readonly state: string;
  readonly scale: { readonly min: number; readonly max: number };
  /** How many, by state. */
  readonly instances: Readonly<Record<string, number>>;
  readonly sleepsAt: string | null;
  readonly plan?: string;
  readonly pinnedTo?: string;
  readonly maintenance?: string;
  readonly breaker?: Failure;
  readonly failedRevision?: Failure;
}

export interface Failure {
  readonly failures: number;
  readonly retryAt: string | null;
  readonly code: string;
  readonly message: string;
}

export interface WholeApp extends AppSummary {
  readonly source: {
    readonly kind: string;
    readonly file?: string;
    readonly token?: string;
    readonly host?: string;
    readonly since?: string | null;
  };
  readonly effective: unknown;
}

export interface Instance {
  readonly id: string;
  readonly state: string;
  readonly host: string;
  readonly bootedAt: string | null;
  readonly sleepsAt: string | null;
  readonly expiresAt: string | null;
  readonly cause: string | null;
  readonly users: readonly { readonly quietSince?: string | null }[];
  readonly inflight: number;
  readonly end?: { readonly reason: string };
}

/** What happened to an instance, or to its app. */
export interface LedgerEvent {
  readonly id: string;
  readonly at: string;
  readonly app: string;
  readonly kind: string;
  readonly cause?: string;
  readonly instance?: string;
  readonly bootMs?: number;
  readonly request?: {
    readonly host: string;
    readonly method: string;
    readonly path: string;
    readonly agent: string;
    readonly client?: string;
  };
  readonly by?: string;
  readonly message?: string;
  readonly output?: string;
}

export interface NodeStatus {
  readonly node: string;
  readonly host: string;
  readonly state: string;
  readonly pid: number;
  readonly runtimes: Readonly<Record<string, string>>;
  readonly instances: number;
}

export interface Caller {
  readonly name: string;
  readonly scope: 'read' | 'operate' | 'write';
  readonly labels?: Readonly<Record<string, string>>;
}

export interface Answer<Body> {
  readonly body: Body;
  /** Query of the next page of a list. */
  readonly next?: URLSearchParams;
}

/** A refusal of the API, in its own words; status 0 if there is no answer at all. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly remedy: string;

  constructor(status: number, message: string, remedy = '') {
    super(message);
    this.status = status;
    this.remedy = remedy;
  }
}

/** The admin API as the holder of a token sees it; without one as whoever may connect. */
export class Api {
  readonly #token: string | undefined;
  readonly #onUnknown: (refusal: Refusal) => void;
  #aheadMs = 0;

  /** `onUnknown` is called when the token is refused. */
  constructor(token: string | undefined, onUnknown: (refusal: Refusal) => void) {
    this.#token = token;
    this.#onUnknown = onUnknown;
  }

  /** Milliseconds since the epoch by the daemon's clock, to the second: times that it tells are of that clock. */
  now(): number {
    return Date.now() + this.#aheadMs;
  }

  /** Throws Refusal, or what the signal was aborted with. */
  async get<Body>(path: string, signal?: AbortSignal): Promise<Answer<Body>> {
    return this.#send<Body>('GET', path, undefined, signal);
  }

  /** Throws Refusal. */
  async send<Body>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<Body> {
    return (await this.#send<Body>(method, path, body)).body;
  }

  /** The body of a stream of server-sent events. Throws Refusal, or what the signal was aborted with. */
  async stream(
    path: string,
    lastId: string | undefined,
    signal: AbortSignal,
  ): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const headers = { accept: 'text/event-stream', ...(lastId !== undefined && { 'last-event-id': lastId }) };
    const { body } = await this.#fetch(path, { headers, signal });
    if (!body) throw new Refusal(0, 'The stream is empty.');
    return body;
  }

  async #send<Body>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Answer<Body>> {
    const response = await this.#fetch(path, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    });
    const told = (await response.json()) as Body;
    const next = /[?]([^>]*)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
    return { body: told, ...(next !== undefined && { next: new URLSearchParams(next) }) };
  }

  async #fetch(path: string, init: SentRequest): Promise<Response> {
    const authorization = this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` };
    const response = await fetch(path, {
      ...init,
      headers: { ...init.headers, ...authorization },
      // Neither cookies nor passwords of the browser: the token is all that there is.
      ...{ credentials: 'omit', cache: 'no-store', redirect: 'error', referrerPolicy: 'no-referrer' },
    }).catch((error: unknown) => {
      init.signal?.throwIfAborted();
      throw new Refusal(0, `No answer: ${error instanceof Error ? error.message : String(error)}`, noAnswer);
    });
    const date = Date.parse(response.headers.get('date') ?? '');
    if (!Number.isNaN(date)) this.#aheadMs = date - Date.now();
    if (response.ok) return response;
    const { detail, remedy } = (await response.json().catch(() => ({}))) as { detail?: string; remedy?: string };
    const refusal = new Refusal(response.status, detail ?? `The answer has the status ${response.status}.`, remedy);
    if (response.status === 401) this.#onUnknown(refusal);
    throw refusal;
  }
}

interface SentRequest extends Omit<RequestInit, 'headers'> {
  readonly headers: Readonly<Record<string, string>>;
}

const noAnswer = 'Is the daemon running, and the tunnel to it open?';

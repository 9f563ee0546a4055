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

  async #send<Body>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Answer<Body>> {
    const response = await fetch(path, {
      method,
      headers: {
        ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
      // Neither cookies nor passwords of the browser: the token is all that there is.
      ...{ credentials: 'omit', cache: 'no-store', redirect: 'error', referrerPolicy: 'no-referrer' },
    }).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw new Refusal(0, `No answer: ${error instanceof Error ? error.message : String(error)}`, noAnswer);
    });
    const date = Date.parse(response.headers.get('date') ?? '');
    if (!Number.isNaN(date)) this.#aheadMs = date - Date.now();
    const told = (await response.json().catch(() => ({}))) as unknown;
    if (!response.ok) {
      const { detail, remedy } = told as { readonly detail?: string; readonly remedy?: string };
      const refusal = new Refusal(response.status, detail ?? `The answer has the status ${response.status}.`, remedy);
      if (response.status === 401) this.#onUnknown(refusal);
      throw refusal;
    }
    const next = /[?]([^>]*)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
    return { body: told as Body, ...(next !== undefined && { next: new URLSearchParams(next) }) };
  }
}

const noAnswer = 'Is the daemon running, and the tunnel to it open?';

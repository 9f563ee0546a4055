import type { IncomingMessage, ServerResponse } from 'node:http';

/** How a request ended, as its client sees it. */
export interface Ending {
  readonly status: number;
  readonly code: string;
  readonly at: number;
}

export interface RequestPlan {
  readonly id: string;
  readonly app: string;
  readonly domain: string;
  readonly node: string;
  readonly kind: 'http' | 'upgrade';
  /** How long the app takes for it. */
  readonly holdMs: number;
  readonly sentAt: number;
}

/** One client's request: just enough of node's request, response and socket for the dispatcher to work on. */
export class ModelRequest {
  readonly plan: RequestPlan;
  readonly endings: Ending[] = [];
  /** The instance it is under way to. */
  instance: string | undefined;
  /** Breaks it off where it is under way. */
  onGone: (() => void) | undefined;
  readonly #now: () => number;
  readonly #onClose: (() => void)[] = [];
  destroyed = false;

  constructor(plan: RequestPlan, now: () => number) {
    this.plan = plan;
    this.#now = now;
  }

  get req(): IncomingMessage {
    const rawHeaders = ['Host', this.plan.domain];
    const version = { httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1 };
    return {
      ...version,
      method: 'GET',
      url: '/',
      rawHeaders,
      headers: { host: this.plan.domain },
      complete: true,
    } as unknown as IncomingMessage;
  }

  /** Response or socket, as the dispatcher takes it. */
  get stream(): ServerResponse {
    const status = { of: 0, code: '' };
    const isDestroyed = () => this.destroyed;
    return {
      model: this,
      get destroyed() {
        return isDestroyed();
      },
      writable: true,
      headersSent: false,
      writeHead: (code: number, _reason: string, headers: Record<string, string>) => {
        status.of = code;
        status.code = headers['x-fastcontainer-error'] ?? '';
      },
      end: (text?: string) => {
        const line = /^HTTP\/1\.1 (\d+)[^]*?x-fastcontainer-error: (\w+)/i.exec(text ?? '');
        this.end(line ? Number(line[1]) : status.of, line?.[2] ?? status.code);
      },
      on: () => undefined,
      once: (event: string, run: () => void) => void (event === 'close' && this.#onClose.push(run)),
      resume: () => undefined,
      destroy: () => {
        if (!this.destroyed) this.end(0, 'cut');
      },
    } as unknown as ServerResponse;
  }

  /** The client has its answer, or as much of it as there was. */
  end(status: number, code: string): void {
    this.endings.push({ status, code, at: this.#now() });
    this.instance = undefined;
    this.#close();
  }

  /** The client goes away. */
  abort(): void {
    if (this.endings.length > 0) return;
    this.end(499, 'client_gone');
    this.onGone?.();
  }

  #close(): void {
    this.destroyed = true;
    for (const run of this.#onClose.splice(0)) run();
  }
}

/** The model behind a response or socket. */
export function modelOf(stream: unknown): ModelRequest {
  return (stream as { model: ModelRequest }).model;
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

type Run = (req: IncomingMessage, res: ServerResponse) => void;

interface Waiting {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly run: Run;
}

const kTurns = Symbol('turns');

type Known = Socket & { [kTurns]?: Turns; readonly _httpMessage?: ServerResponse | null };

/** Requests that may wait on one connection; what comes after them is not served. */
export const mostPipelined = 64;

/**
 * Runs a request when the answers to those before it on its connection have been sent, so that a connection has one request at an
 * app at a time, and one that waits holds nothing. Calls `refuse` for the first one that is too many.
 */
export function inTurn(req: IncomingMessage, res: ServerResponse, run: Run, refuse: Run): void {
  const socket: Known = req.socket;
  // Node gives the connection to one answer after the other.
  if (res.socket !== null) return run(req, res);
  const turns = (socket[kTurns] ??= new Turns(socket));
  turns.wait({ req, res, run }, refuse);
}

class Turns {
  readonly #socket: Known;
  readonly #waiting: Waiting[] = [];
  #isFull = false;

  constructor(socket: Known) {
    this.#socket = socket;
  }

  wait(waiting: Waiting, refuse: Run): void {
    const { req, res } = waiting;
    if (this.#isFull) return void req.resume();
    if (this.#waiting.length >= mostPipelined) {
      this.#isFull = true;
      res.shouldKeepAlive = false;
      this.#waiting.push({ ...waiting, run: refuse });
      return;
    }
    if (this.#waiting.push(waiting) === 1) this.#await(this.#socket._httpMessage);
  }

  #await(res: ServerResponse | null | undefined): void {
    // Heard after node itself, which has then given the connection to the next answer.
    res?.once('finish', () => this.#next());
  }

  #next(): void {
    const next = this.#waiting.shift();
    // The answer before may have been the last one of its connection.
    if (!next || next.res.socket === null) return;
    if (this.#waiting.length > 0) this.#await(next.res);
    // Already refused, as its body could not be parsed.
    if (next.res.writableEnded) return;
    next.run(next.req, next.res);
  }
}

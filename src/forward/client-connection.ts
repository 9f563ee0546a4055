import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { endConnection, isEnding } from './end-connection.js';

const kConnection = Symbol('client connection');

/** What node keeps on a connection of its server. */
interface Parser {
  onIncoming?: (req: IncomingMessage, keepAlive: boolean) => number;
}
type Known = Duplex & {
  [kConnection]?: ClientConnection;
  readonly parser?: Parser | null;
  readonly _httpMessage?: ServerResponse | null;
};

/** A request whose parser's `upgrade` says whether it takes over the connection. */
type Incoming = IncomingMessage & { upgrade?: boolean | null };

/**
 * A client's connection beyond what node's server does with it. Nothing behind an answer that is the last of its connection
 * is served: the client was told, or has asked, that it ends. And the end comes so that this last answer arrives.
 */
export class ClientConnection {
  readonly #socket: Socket;
  /** The answer to the request that came last. */
  #last: ServerResponse | undefined;
  /** Something came that is not served. */
  #isClosed = false;

  static of(socket: Duplex): ClientConnection | undefined {
    return (socket as Known)[kConnection];
  }

  /** To be made as soon as node's server has the connection. */
  constructor(socket: Socket) {
    this.#socket = socket;
    (socket as Known)[kConnection] = this;
    this.#chooseUpgrades();
    const { destroySoon } = socket;
    socket.destroySoon = () => {
      const req = this.#last?.req;
      if (!this.#isClosed && req?.complete !== false) return destroySoon.call(socket);
      req?.resume();
      endConnection(socket);
    };
  }

  /** Whether the request is to be served. One that is not is never answered, and the connection ends before its turn. */
  takes(req: IncomingMessage, res: ServerResponse): boolean {
    if (this.#isClosed || this.#last?.shouldKeepAlive === false) {
      this.#isClosed = true;
      req.resume();
      return false;
    }
    this.#last = res;
    return true;
  }

  /** The answer to the request that came last, while it is not finished. */
  get pending(): ServerResponse | undefined {
    return this.#last?.writableFinished === false ? this.#last : undefined;
  }

  /** Nothing more that comes is served. */
  close(): void {
    this.#isClosed = true;
  }

  /** False from when the connection is closed to what comes. */
  get isOpen(): boolean {
    return !this.#isClosed && !isEnding(this.#socket);
  }

  /**
   * Only a GET without a body, with no answer before it under way, takes over the connection, and not for HTTP/2. Any other
   * request is served as if it had not offered to switch, as it may be: RFC 9110 §7.8. A CONNECT is refused like a request.
   */
  #chooseUpgrades(): void {
    const { parser } = this.#socket as Known;
    const onIncoming = parser?.onIncoming;
    if (!parser || !onIncoming) return;
    parser.onIncoming = (req: Incoming, keepAlive) => {
      if (!req.upgrade || this.#mayTakeOver(req)) return onIncoming(req, keepAlive);
      req.upgrade = false;
      // Node throws away what came behind it in the same packet.
      return onIncoming(req, false);
    };
  }

  #mayTakeOver({ method, httpVersionMinor, headers }: IncomingMessage): boolean {
    return (
      method === 'GET' &&
      httpVersionMinor > 0 &&
      (headers['content-length'] ?? '0') === '0' &&
      headers['transfer-encoding'] === undefined &&
      !/^\s*h2c\b/i.test(headers.upgrade ?? '') &&
      !(this.#socket as Known)._httpMessage &&
      this.isOpen
    );
  }
}

import { type IncomingMessage, METHODS, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { endConnection, isEnding } from './end-connection.js';
import type { TcpState } from '../machine/tcp-table.js';

const kConnection = Symbol('client connection');

/** Node's parser of a connection to its server. */
interface Parser {
  onIncoming?: (req: IncomingMessage, keepAlive: boolean) => number;
  /** A copy of the packet in which the header ended. */
  getCurrentBuffer?(): Buffer | undefined;
}
type Known = Duplex & {
  [kConnection]?: ClientConnection;
  readonly parser?: Parser | null;
  readonly _httpMessage?: ServerResponse | null;
  readonly _handle?: { readonly reading?: boolean } | null;
  readonly _readableState?: { readonly ended: boolean };
};

/** Ticks without a byte either way after which a client that ended its side counts as gone. */
const halfClosedTicks = 2;
/** The same after a switch to another protocol, in which a client may end its side and still listen. */
const switchedTicks = 120;

/** A request whose parser's `upgrade` says whether it takes over the connection. */
type Incoming = IncomingMessage & { upgrade?: boolean | null };

/**
 * A client's connection beyond what node's server does with it. Nothing after the last answer is served: the client was told,
 * or has asked, that the connection ends. It ends in such a way that this last answer arrives.
 */
export class ClientConnection {
  readonly socket: Socket;
  /** The answer to the request that came last. */
  #last: ServerResponse | undefined;
  /** Nothing that comes is served. */
  #isClosed = false;
  #hasSwitched = false;
  /** Bytes both ways at the last tick, and ticks since they last moved. */
  #bytes = 0;
  #still = 0;
  #missing = 0;

  static of(socket: Duplex): ClientConnection | undefined {
    return (socket as Known)[kConnection];
  }

  /** Call it as soon as node's server has the connection. */
  constructor(socket: Socket) {
    this.socket = socket;
    (socket as Known)[kConnection] = this;
    this.#lookAtRequests();
    const { destroySoon } = socket;
    socket.destroySoon = () => {
      const req = this.#last?.req;
      if (!this.#isClosed && req?.complete !== false) return destroySoon.call(socket);
      req?.resume();
      endConnection(socket);
    };
  }

  /** Whether to serve the request. One that is not served is never answered: the connection ends before its turn. */
  takes(req: IncomingMessage, res: ServerResponse): boolean {
    if (this.#isClosed || this.#last?.shouldKeepAlive === false) {
      this.#stopParsing();
      req.resume();
      return false;
    }
    this.#last = res;
    return true;
  }

  /** The unfinished answer to the last request. */
  get pending(): ServerResponse | undefined {
    return this.#last?.writableFinished === false ? this.#last : undefined;
  }

  /** From now on nothing that comes is served. */
  close(): void {
    this.#isClosed = true;
  }

  /** Whether the connection's last answer has been written. */
  get isOver(): boolean {
    return this.#last?.shouldKeepAlive === false && this.#last.writableFinished;
  }

  /** Whether what comes is still served. */
  get isOpen(): boolean {
    return !this.#isClosed && !isEnding(this.socket);
  }

  /** From now on the connection carries another protocol. */
  switched(): void {
    this.#hasSwitched = true;
  }

  /**
   * Call it at an even pace. A client that ended its side has a moment for its answer. True if nothing reads from the
   * connection, so that only the system knows whether its client is still there.
   */
  tick(): boolean {
    const { socket } = this;
    const { bytesRead, bytesWritten } = socket;
    const moves = bytesRead + bytesWritten !== this.#bytes;
    this.#bytes = bytesRead + bytesWritten;
    this.#still = moves ? 0 : this.#still + 1;
    if (this.#last?.writableFinished) this.#last = undefined;
    if (socket.destroyed || isEnding(socket)) return false;
    const { _readableState, _handle } = socket as Known;
    if (_readableState?.ended === true && !this.#hasSwitched) {
      this.#learnHalfClosed();
      return false;
    }
    return _handle?.reading === false && this.#still > 0;
  }

  /** Takes what the system says of a connection that nothing reads from. */
  learn(state: TcpState): void {
    this.#missing = state === 'gone' ? this.#missing + 1 : 0;
    if (this.#missing > 1) this.socket.destroy();
    else if (state === 'ended') this.#learnHalfClosed();
  }

  /**
   * Reads what still comes, to see its end, and throws it away without parsing more than the packet in hand: node would make
   * requests of it and keep them until the connection ends. Harmless twice.
   */
  #stopParsing(): void {
    this.#isClosed = true;
    if (this.socket.listeners('data').includes(ignore)) return;
    // With a listener to bytes, node hands them to all listeners, of which its parser is one.
    this.socket.on('data', ignore);
    for (const listener of this.socket.listeners('data')) {
      if (listener !== ignore) this.socket.off('data', listener as () => void);
    }
  }

  /** A gone client resets the connection as soon as it is written to; while bytes wait, it is still there. */
  #learnHalfClosed(): void {
    const patience = this.#hasSwitched ? switchedTicks : halfClosedTicks;
    if (this.#still >= patience && this.socket.writableLength === 0) this.socket.destroy();
  }

  /**
   * Only a GET without a body, and with no earlier answer under way, may take over the connection, and not for HTTP/2. Any other
   * request is served as if it had not offered to switch, which RFC 9110 §7.8 allows. A CONNECT is refused like a request.
   */
  #lookAtRequests(): void {
    const { parser } = this.socket as Known;
    const onIncoming = parser?.onIncoming;
    if (!parser || !onIncoming) return;
    parser.onIncoming = (req: Incoming, keepAlive) => {
      if (req.httpVersionMinor === 0 && namesOtherProtocol(req, parser)) req.httpVersionMajor = 0;
      if (!req.upgrade || this.#mayTakeOver(req)) return onIncoming(req, keepAlive);
      req.upgrade = false;
      // Node throws away what came after it in the same packet.
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
      !(this.socket as Known)._httpMessage &&
      this.isOpen
    );
  }
}

function ignore(): void {}

/** Methods that llhttp accepts in RTSP or ICE as well as in HTTP; any other tells the protocol by itself. */
const inOtherProtocols = new Set(['GET', 'POST', 'OPTIONS', 'SOURCE']);
const known = new Set(METHODS);

/**
 * Whether a request that llhttp takes for HTTP/1.0 says `RTSP/1.0` or `ICE/1.0`, which llhttp does not tell. Seen only if the
 * first line came in one packet with the end of the header.
 */
function namesOtherProtocol({ method = '', url = '' }: IncomingMessage, parser: Parser): boolean {
  if (!known.has(method)) return true;
  if (!inOtherProtocols.has(method)) return false;
  const packet = parser.getCurrentBuffer?.();
  if (!packet) return false;
  const line = `${method} ${url} `;
  return packet.includes(`${line}RTSP/`, 0, 'latin1') || packet.includes(`${line}ICE/`, 0, 'latin1');
}

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { ClientRequest } from '../client-message.js';

/**
 * A request on a stream of HTTP/2, in the form of one over HTTP/1.1: its authority is its Host, its path its URL. Nothing of its body is
 * read before it is asked for.
 */
export class StreamRequest extends Readable implements ClientRequest {
  readonly httpVersion = '2.0';
  readonly httpVersionMajor = 2;
  readonly httpVersionMinor = 0;
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  readonly socket: Socket;
  /** Flat; whole when the request is. */
  rawTrailers: string[] = [];
  readonly #stream: ServerHttp2Stream;
  #isComplete = false;
  #isRead = false;

  /** `raw`: all fields as sent, flat. */
  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[], socket: Socket) {
    super();
    this.#stream = stream;
    this.method = headers[':method'] ?? '';
    this.url = headers[':path'] ?? '';
    this.headers = headers;
    this.rawHeaders = linesOf(raw, headers[':authority']);
    this.socket = socket;
    // A client may break off before or after anything listens.
    this.on('error', () => {});
    if (!stream.endAfterHeaders) return;
    this.#isComplete = true;
    this.push(null);
  }

  get complete(): boolean {
    return this.#isComplete;
  }

  setTimeout(ms: number): void {
    this.#stream.setTimeout(ms);
  }

  override _read(): void {
    const stream = this.#stream;
    if (!this.#isRead) {
      this.#isRead = true;
      stream.on('data', (chunk: Buffer) => this.push(chunk) || stream.pause());
      stream.on('trailers', (_headers: object, _flags: number, raw: string[]) => (this.rawTrailers = raw));
      stream.on('timeout', () => this.emit('timeout'));
      stream.on('end', () => {
        // It ends, too, if the client breaks it off.
        if (stream.aborted) return;
        this.#isComplete = true;
        this.push(null);
      });
      stream.on('close', () => this.destroy());
    }
    if (stream.destroyed) this.destroy();
    else stream.resume();
  }
}

/** As HTTP/1.1 has them: without pseudo-headers, the authority as Host, and the crumbs of a cookie as one (RFC 9113 §8.2.3). */
function linesOf(raw: readonly string[], authority: string | undefined): string[] {
  const lines = authority === undefined ? [] : ['host', authority];
  let cookieAt: number | undefined;
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] as string;
    const value = raw[index + 1] as string;
    if (name.startsWith(':')) continue;
    // Two that differ stay two, and are refused.
    if (name === 'host' && authority !== undefined && value.toLowerCase() === authority.toLowerCase()) continue;
    if (name !== 'cookie') lines.push(name, value);
    else if (cookieAt !== undefined) lines[cookieAt] = `${lines[cookieAt]}; ${value}`;
    else {
      cookieAt = lines.length + 1;
      lines.push(name, value);
    }
  }
  return lines;
}

import type { IncomingHttpHeaders, OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';

/** A client's request: node's over HTTP/1.x, or one on a stream of HTTP/2 (see http2/stream-request.ts). */
export interface ClientRequest extends Readable {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  readonly httpVersion: string;
  readonly httpVersionMajor: number;
  readonly httpVersionMinor: number;
  /** All of it has come. */
  readonly complete: boolean;
  /** The connection, which requests may share. */
  readonly socket: Socket;
  /** Emits `timeout` when nothing has moved for so long; 0 for never. */
  setTimeout(ms: number): unknown;
}

/** The answer to a client's request, likewise (see http2/stream-response.ts). */
export interface ClientResponse {
  statusCode: number;
  /** Of HTTP/1.x: the connection may carry another request. */
  shouldKeepAlive: boolean;
  readonly destroyed: boolean;
  readonly headersSent: boolean;
  readonly chunkedEncoding: boolean;
  readonly writableEnded: boolean;
  readonly writableFinished: boolean;
  readonly writableNeedDrain: boolean;
  readonly writableLength: number;
  readonly writableHighWaterMark: number;
  /** The connection, if it is this answer's alone now: null of HTTP/2, and while another answer goes before it. */
  readonly socket: Socket | null;
  writeHead(statusCode: number, headers?: OutgoingHttpHeaders | OutgoingHttpHeader[]): unknown;
  writeHead(statusCode: number, reason?: string, headers?: OutgoingHttpHeaders | OutgoingHttpHeader[]): unknown;
  flushHeaders(): void;
  writeContinue(): void;
  write(chunk: string | Uint8Array): boolean;
  write(chunk: string, encoding: BufferEncoding): boolean;
  addTrailers(trailers: readonly [string, string][]): void;
  end(): unknown;
  end(chunk: string, encoding?: BufferEncoding): unknown;
  /** Breaks it off, so that the client sees that it is not whole. */
  destroy(): unknown;
  on(event: 'close' | 'drain' | 'finish', listener: () => void): unknown;
  once(event: 'close' | 'drain' | 'finish', listener: () => void): unknown;
}

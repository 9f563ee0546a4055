import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ClientRequest, ClientResponse } from './client-message.js';
import { endConnection } from './end-connection.js';
import { errorTable, type RequestError } from '../model/errors.js';
import { escapeHtml as escape } from '../model/escape-html.js';

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Answers a request in the app's place, with the app's `own` headers for such answers. Cuts the connection if an answer has begun. */
export function answerError(
  req: ClientRequest,
  res: ClientResponse,
  error: RequestError,
  own?: Readonly<Record<string, string>>,
): void {
  if (res.destroyed) return;
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const { status, headers, body } = answerOf(error, req.headers.accept);
  // The rest of an unread body would be taken for the next request, and so may be what follows a request that two servers
  // would read in two ways.
  if (error.code === 'bad_request' || (!req.complete && hasBody(req))) res.shouldKeepAlive = false;
  // With its own reason: that of the app may already be set on the response, and may be what cannot be written.
  res.writeHead(status, STATUS_CODES[status], behind(headers, own));
  res.end(body);
}

/** The same for a connection without a response object, which is closed afterwards. */
export function answerErrorRaw(
  socket: Duplex,
  error: RequestError,
  {
    accept,
    own,
  }: { readonly accept?: string | undefined; readonly own?: Readonly<Record<string, string>> | undefined } = {},
): void {
  if (socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = answerOf(error, accept);
  const head = Object.entries(behind({ ...headers, Connection: 'close' }, own)).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  endConnection(socket, `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${head.join('')}\r\n${body}`);
}

/** The app's own headers and ours, which win over those of the same name in any case. */
function behind(
  headers: Readonly<Record<string, string>>,
  own: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const ours = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  const others = Object.entries(own).filter(([name]) => !ours.has(name.toLowerCase()));
  return { ...Object.fromEntries(others), ...headers };
}

function answerOf(error: RequestError, accept: string | undefined): Answer {
  const { code, status, publicDetail: detail, reference, retryAfterS } = error;
  const { title, advice } = errorTable[code];
  const { body: written, headers } = error.answer ?? {};
  const said = written && { type: written.type, body: written.text };
  const { type, body } = said ?? render(accept ?? '', { code, status, title, detail, advice, reference });
  return {
    status,
    body,
    headers: {
      ...headers,
      'Content-Type': type,
      'Content-Length': String(Buffer.byteLength(body)),
      'Cache-Control': 'no-store',
      'x-fastcontainer-error': code,
      ...(retryAfterS === undefined ? {} : { 'Retry-After': String(retryAfterS) }),
    },
  };
}

interface Problem {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly detail: string | undefined;
  readonly advice: string;
  readonly reference: string;
}

/** RFC 9457 for programs, a page for browsers, text for all others. */
function render(accept: string, problem: Problem): { type: string; body: string } {
  if (/\bjson\b/i.test(accept)) {
    return { type: 'application/problem+json', body: `${JSON.stringify({ type: 'about:blank', ...problem })}\n` };
  }
  if (/\btext\/html\b/i.test(accept)) return { type: 'text/html; charset=utf-8', body: page(problem) };
  const { code, status, title, detail, advice, reference } = problem;
  const lines = [`${status} ${code}: ${title}.`, ...(detail === undefined ? [] : [detail]), advice];
  return { type: 'text/plain; charset=utf-8', body: `${lines.join('\n')}\nReference: ${reference}\n` };
}

function page({ code, status, title, detail, advice, reference }: Problem): string {
  const said = detail === undefined ? '' : `<p>${escape(detail)}</p>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${status} ${escape(title)}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color:#222}code{color:#666}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}code{color:#999}}</style></head>
<body><h1>${escape(title)}</h1>${said}<p>${escape(advice)}</p><p><code>${status} ${code}, reference ${reference}</code></p></body></html>
`;
}

function hasBody({ headers }: ClientRequest): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

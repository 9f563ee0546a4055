import type { Duplex } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { ApiError, apiErrorTable } from './api-error.js';

const type = 'application/problem+json';

/** Answers with problem details. Source: RFC 9457. */
export function problem(reply: FastifyReply, error: ApiError): FastifyReply {
  const { status } = apiErrorTable[error.code];
  return reply.code(status).headers(error.headers).type(type).send(detailsOf(error));
}

/** Answers what the parser of HTTP refuses, and ends the connection. */
export function refuseRaw(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const why = isLate ? 'The request did not arrive in time.' : `The request is not valid HTTP: ${error.code ?? ''}.`;
  const body = detailsOf(new ApiError('bad_request', why));
  const head = [`Content-Type: ${type}`, `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close'];
  socket.end(`HTTP/1.1 400 Bad Request\r\n${head.join('\r\n')}\r\n\r\n${body}`);
  socket.once('finish', () => socket.destroy());
}

function detailsOf({ code, message, problems }: ApiError): string {
  const { status, title, remedy } = apiErrorTable[code];
  const details = { type: 'about:blank', title, status, code, detail: message, remedy, ...(problems && { problems }) };
  return JSON.stringify(details);
}

import type { FastifyReply } from 'fastify';
import { type ApiError, apiErrorTable } from './api-error.js';

/** Answers with problem details. Source: RFC 9457. */
export function problem(reply: FastifyReply, { code, message, problems, headers }: ApiError): FastifyReply {
  const { status, title, remedy } = apiErrorTable[code];
  const details = { type: 'about:blank', title, status, code, detail: message, remedy, ...(problems && { problems }) };
  return reply.code(status).headers(headers).type('application/problem+json').send(JSON.stringify(details));
}

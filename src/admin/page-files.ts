import { readFile } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';

/** By path. The build puts them together (`src/admin/page/`). */
const files = [
  { path: '/', file: 'page.html', type: 'text/html; charset=utf-8' },
  { path: '/ui/page.js', file: 'page.js', type: 'text/javascript; charset=utf-8' },
  { path: '/ui/page.css', file: 'page.css', type: 'text/css; charset=utf-8' },
] as const;

/**
 * The page runs its own script and nothing else, talks to its own origin only, is framed by nobody, and makes no text into HTML
 * (`require-trusted-types-for`), whatever apps or clients wrote into what it shows.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const headers = {
  'Content-Security-Policy': policy,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-cache',
};

/** Serves the operators' page. Its files are the same for everybody and tell nothing, so they need no token. */
export function servePage(server: FastifyInstance): void {
  for (const { path, file, type } of files)
    server.get(path, { config: { isOpen: true } }, async (_request, reply) =>
      reply
        .headers(headers)
        .type(type)
        .send(await readFile(new URL(`./page/${file}`, import.meta.url))),
    );
}

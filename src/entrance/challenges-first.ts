import type { Challenges } from '../certify/challenges.js';
import type { ClientRequest, ClientResponse } from '../forward/client-message.js';
import { admit } from '../forward/request-headers.js';
import { challengeToken } from '../model/acme-challenge.js';
import { domainOf } from '../model/host-name.js';

type Handler = (req: ClientRequest, res: ClientResponse) => void;

/** Answers what an authority asks of a domain for which a certificate is ordered; every other request is `next`'s. */
export function challengesFirst(challenges: Pick<Challenges, 'answerTo'>, next: Handler): Handler {
  return (req, res) => {
    if (req.method === 'GET' && req.url !== undefined && challengeToken(req.url) !== undefined)
      void answer(challenges, next, req, res);
    else next(req, res);
  };
}

async function answer(
  challenges: Pick<Challenges, 'answerTo'>,
  next: Handler,
  req: ClientRequest,
  res: ClientResponse,
): Promise<void> {
  const text = await answerTo(challenges, req);
  if (res.destroyed) return;
  if (text === undefined) return next(req, res);
  if (!req.complete) res.shouldKeepAlive = false;
  const length = String(Buffer.byteLength(text));
  res.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    'Content-Length': length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  res.end(text);
}

/** Undefined also if the store is away, or the request is none: the app, or its refusal, comes next. */
async function answerTo(challenges: Pick<Challenges, 'answerTo'>, req: ClientRequest): Promise<string | undefined> {
  try {
    const { host, target } = admit(req);
    const domain = domainOf(host);
    return domain === undefined ? undefined : await challenges.answerTo(domain, target);
  } catch {
    return undefined;
  }
}

import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AcmeClient, AcmeError, textIn } from './acme-client.js';
import { isChallengeToken } from '../model/acme-challenge.js';
import type { Account, Authority, Ordered, OrderTerms } from './authority.js';
import { requestFor } from './csr.js';

export interface AcmeTerms {
  /** URL of the authority's directory. */
  readonly directory: string;
  /** Where the authority writes to; absent: nowhere. */
  readonly email?: string;
  /** PEM file of what signed the certificate of the directory; absent: those that node trusts. */
  readonly caFile?: string;
}

/** An authority that speaks ACME, and believes that a domain is ours if it finds an answer there over plain HTTP. Source: RFC 8555. */
export class AcmeAuthority implements Authority {
  readonly #terms: AcmeTerms;

  constructor(terms: AcmeTerms) {
    this.#terms = terms;
  }

  newAccount(): Promise<Account> {
    return Promise.resolve({ key: newKey() });
  }

  async order({ domain, account, publish, signal }: OrderTerms): Promise<Ordered> {
    const { directory, email, caFile } = this.#terms;
    const client = new AcmeClient({
      ...{ directory, signal, key: account.key },
      ...(account.url !== undefined && { account: account.url }),
      ...(caFile !== undefined && { ca: await readFile(caFile) }),
    });
    try {
      const url = account.url ?? (await client.register(email));
      try {
        return { pair: await orderWith(client, domain, publish), account: { key: account.key, url } };
      } catch (error) {
        if (account.url === undefined || !isOfUnknownAccount(error)) throw error;
        const again = await client.register(email);
        return { pair: await orderWith(client, domain, publish), account: { key: account.key, url: again } };
      }
    } finally {
      client.close();
    }
  }
}

/** The authority has forgotten the account: with the same key it gets another. */
function isOfUnknownAccount(error: unknown): boolean {
  return error instanceof AcmeError && error.message.includes('urn:ietf:params:acme:error:accountDoesNotExist');
}

async function orderWith(client: AcmeClient, domain: string, publish: OrderTerms['publish']): Promise<Ordered['pair']> {
  const order = await client.post(await client.urlOf('newOrder'), { identifiers: [{ type: 'dns', value: domain }] });
  for (const url of listIn(order.body, 'authorizations')) await authorize(client, String(url), domain, publish);
  const key = newKey();
  const csr = requestFor(domain, createPrivateKey(key)).toString('base64url');
  await client.post(textIn(order.body, 'finalize'), { csr });
  const done = await client.poll(order.url, isSettled);
  if (done['status'] !== 'valid') throw new AcmeError(reasonIn(done));
  const { text } = await client.post(textIn(done, 'certificate'));
  return { cert: text, key };
}

async function authorize(
  client: AcmeClient,
  url: string,
  domain: string,
  publish: OrderTerms['publish'],
): Promise<void> {
  const { body } = await client.post(url);
  // It may remember that the domain is ours.
  if (body['status'] === 'valid') return;
  const challenge = listIn(body, 'challenges').find((one) => one['type'] === 'http-01');
  if (!challenge) throw new AcmeError(`the authority takes no proof of ${domain} over plain HTTP`);
  const token = textIn(challenge, 'token');
  // It is answered on the domain, to everybody.
  if (!isChallengeToken(token)) throw new AcmeError('the authority gave a token that is none');
  await publish({ token, answer: client.answerTo(token) });
  await client.post(textIn(challenge, 'url'), {});
  const settled = await client.poll(url, isSettled);
  if (settled['status'] === 'valid') return;
  const failed = listIn(settled, 'challenges').find((one) => one['error'] !== undefined);
  throw new AcmeError(reasonIn(failed ?? settled));
}

type Json = Record<string, unknown>;

function isSettled({ status }: Json): boolean {
  return status !== 'pending' && status !== 'processing' && status !== 'ready';
}

function listIn(body: Json, key: string): Json[] {
  const list = body[key];
  if (Array.isArray(list)) return list as Json[];
  throw new AcmeError(`the authority tells no ${key}`);
}

/** In the authority's words. */
function reasonIn({ status, error }: Json): string {
  const { type, detail } = (error ?? {}) as Json;
  return type === undefined ? `the authority says ${String(status)}` : `${String(type)}: ${String(detail ?? '')}`;
}

function newKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AcmeClient, type ExternalAccount, textIn } from './acme-client.js';
import { isChallengeToken } from '../model/acme-challenge.js';
import {
  type Account,
  type Authority,
  AuthorityError,
  type Ordered,
  type OrderTerms,
  type Renewal,
} from './authority.js';
import { requestFor } from './csr.js';
import { certificateId, renewalIn } from './renewal-info.js';

export interface AcmeTerms {
  /** URL of the authority's directory. */
  readonly directory: string;
  /** Where the authority writes to; absent: nowhere. */
  readonly email?: string;
  /** PEM file of what signed the certificate of the directory; absent: those that node trusts. */
  readonly caFile?: string;
  /** Present: an account is bound to this one when it is registered. */
  readonly eab?: ExternalAccount;
}

/** An authority that speaks ACME, and believes that a domain is ours if it finds the proof. Source: RFC 8555. */
export class AcmeAuthority implements Authority {
  readonly #terms: AcmeTerms;

  constructor(terms: AcmeTerms) {
    this.#terms = terms;
  }

  newAccount(): Promise<Account> {
    return Promise.resolve({ key: newKey() });
  }

  async order({ account, signal, ...terms }: OrderTerms): Promise<Ordered> {
    const { email, eab } = this.#terms;
    const client = await this.#client(account, signal);
    try {
      const url = account.url ?? (await client.register(email, eab));
      try {
        return { pair: await orderWith(client, terms), account: { key: account.key, url } };
      } catch (error) {
        if (account.url === undefined || !isOfType(error, 'accountDoesNotExist')) throw error;
        // With the same key it gets another.
        const again = await client.register(email, eab);
        return { pair: await orderWith(client, terms), account: { key: account.key, url: again } };
      }
    } finally {
      client.close();
    }
  }

  async renewal(cert: string, now: number, signal: AbortSignal): Promise<Renewal> {
    const id = certificateId(cert);
    const client = await this.#client({ key: newKey() }, signal);
    try {
      if (id === undefined || !(await client.has('renewalInfo'))) return renewalIn({}, undefined, now);
      const { body, retryAfterMs } = await client.read(`${await client.urlOf('renewalInfo')}/${id}`);
      return renewalIn(body, retryAfterMs, now);
    } finally {
      client.close();
    }
  }

  async #client({ key, url }: Account, signal: AbortSignal): Promise<AcmeClient> {
    const { directory, caFile } = this.#terms;
    return new AcmeClient({
      ...{ directory, signal, key },
      ...(url !== undefined && { account: url }),
      ...(caFile !== undefined && { ca: await readFile(caFile) }),
    });
  }
}

function isOfType(error: unknown, ...types: string[]): boolean {
  return error instanceof AuthorityError && types.some((type) => error.type === `urn:ietf:params:acme:error:${type}`);
}

type Wanted = Pick<OrderTerms, 'domain' | 'replaces' | 'proof' | 'publish'>;

async function orderWith(client: AcmeClient, terms: Wanted): Promise<Ordered['pair']> {
  const { domain } = terms;
  const order = await newOrder(client, terms);
  for (const url of listIn(order.body, 'authorizations')) await authorize(client, String(url), terms);
  const key = newKey();
  const csr = requestFor(domain, createPrivateKey(key)).toString('base64url');
  await client.post(textIn(order.body, 'finalize'), { csr });
  const done = await client.poll(order.url, isSettled);
  if (done['status'] !== 'valid') throw new AuthorityError(reasonIn(done));
  const { text } = await client.post(textIn(done, 'certificate'));
  return { cert: text, key };
}

/** That it replaces an earlier one exempts it from limits; an authority that does not want to hear so gets it without. */
async function newOrder(client: AcmeClient, { domain, replaces }: Wanted): Promise<{ body: Json; url: string }> {
  const resource = await client.urlOf('newOrder');
  const identifiers = [{ type: 'dns', value: domain }];
  const id = replaces === undefined ? undefined : certificateId(replaces);
  if (id !== undefined && (await client.has('renewalInfo'))) {
    try {
      return await client.post(resource, { identifiers, replaces: id });
    } catch (error) {
      if (!isOfType(error, 'alreadyReplaced', 'malformed')) throw error;
    }
  }
  return client.post(resource, { identifiers });
}

async function authorize(client: AcmeClient, url: string, { domain, proof, publish }: Wanted): Promise<void> {
  const { body } = await client.post(url);
  // It may remember that the domain is ours.
  if (body['status'] === 'valid') return;
  const challenge = listIn(body, 'challenges').find((one) => one['type'] === proof);
  if (!challenge) throw new AuthorityError(`the authority takes no proof of ${domain} by ${proof}`);
  const token = textIn(challenge, 'token');
  // It is answered on the domain, to everybody.
  if (!isChallengeToken(token)) throw new AuthorityError('the authority gave a token that is none');
  await publish({ token, answer: client.answerTo(token) });
  await client.post(textIn(challenge, 'url'), {});
  const settled = await client.poll(url, isSettled);
  if (settled['status'] === 'valid') return;
  const failed = listIn(settled, 'challenges').find((one) => one['error'] !== undefined);
  throw new AuthorityError(reasonIn(failed ?? settled));
}

type Json = Record<string, unknown>;

function isSettled({ status }: Json): boolean {
  return status !== 'pending' && status !== 'processing' && status !== 'ready';
}

function listIn(body: Json, key: string): Json[] {
  const list = body[key];
  if (Array.isArray(list)) return list as Json[];
  throw new AuthorityError(`the authority tells no ${key}`);
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

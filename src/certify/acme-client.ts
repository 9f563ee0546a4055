import { createHash, createHmac, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { Agent, request } from 'node:https';
import { setTimeout } from 'node:timers/promises';
import { AuthorityError } from './authority.js';

/** An answer of an authority. */
interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
}

export interface AcmeClientOptions {
  readonly directory: string;
  /** Of the account: PEM, on the curve P-256. */
  readonly key: string;
  /** Absent: not registered yet. */
  readonly account?: string;
  /** PEM; absent: authorities that node trusts. */
  readonly ca?: Buffer;
  readonly signal: AbortSignal;
}

/** Binds an account of ACME to one that the operator has at the authority: RFC 8555 §7.3.4. */
export interface ExternalAccount {
  readonly kid: string;
  /** In base64url. */
  readonly hmac: string;
}

/** A chain of certificates has a few KB. */
const mostBytes = 256 * 1024;
const requestMs = 30_000;
/** The nonce was used or is too old: the authority gives another with its answer. */
const badNonce = 'urn:ietf:params:acme:error:badNonce';
const mostTries = 5;
/** What a timer can wait. */
const longestRetryMs = 14 * 24 * 60 * 60_000;
const shortestPauseMs = 500;
const longestPauseMs = 10_000;

type Json = Record<string, unknown>;

/** Speaks with an authority as one account. Every call rejects if the signal aborts. Source: RFC 8555. */
export class AcmeClient {
  readonly #options: AcmeClientOptions;
  readonly #key: KeyObject;
  readonly #agent: Agent;
  readonly #jwk: Json;
  #directory: Json | undefined;
  #nonce: string | undefined;
  #account: string | undefined;

  constructor(options: AcmeClientOptions) {
    this.#options = options;
    this.#account = options.account;
    this.#agent = new Agent({ keepAlive: true, ...(options.ca && { ca: options.ca }) });
    this.#key = createPrivateKey(options.key);
    const { crv, kty, x, y } = createPublicKey(this.#key).export({ format: 'jwk' });
    // In this order, without spaces: RFC 7638.
    this.#jwk = { crv, kty, x, y };
  }

  /** What answers a challenge proves that this account asked for it: RFC 8555 §8.1. */
  answerTo(token: string): string {
    return `${token}.${createHash('sha256').update(JSON.stringify(this.#jwk)).digest('base64url')}`;
  }

  /** Registers the account, or finds it; resolves to its URL. */
  async register(email: string | undefined, external: ExternalAccount | undefined): Promise<string> {
    const contact = email === undefined ? {} : { contact: [`mailto:${email}`] };
    const resource = await this.urlOf('newAccount');
    // Signed with the key itself, as by somebody unknown.
    this.#account = undefined;
    const { url } = await this.post(resource, {
      ...{ termsOfServiceAgreed: true, ...contact },
      ...(external && { externalAccountBinding: this.#bound(external, resource) }),
    });
    if (url === resource) throw new AuthorityError('the authority does not tell the URL of the account');
    return (this.#account = url);
  }

  async urlOf(resource: string): Promise<string> {
    return textIn(await this.#resources(), resource);
  }

  /** Whether the authority has it. */
  async has(resource: string): Promise<boolean> {
    return typeof (await this.#resources())[resource] === 'string';
  }

  async #resources(): Promise<Json> {
    return (this.#directory ??= jsonOf(await this.#send('GET', this.#options.directory)));
  }

  /** Reads what is for everybody. */
  async read(url: string): Promise<{ readonly body: Json; readonly retryAfterMs: number | undefined }> {
    const answer = await this.#send('GET', url);
    return { body: jsonOf(answer), retryAfterMs: retryAfterOf(answer) };
  }

  /** Sends a signed request; without a payload it only reads. `url`: of what was made. */
  async post(
    url: string,
    payload?: Json,
  ): Promise<{
    readonly body: Json;
    readonly text: string;
    readonly url: string;
    readonly retryAfterMs: number | undefined;
  }> {
    for (let tries = 1; ; tries += 1) {
      const answer = await this.#send('POST', url, this.#signed(url, await this.#nextNonce(), payload));
      if (answer.status < 300) {
        const made = headerOf(answer, 'location') ?? url;
        return { body: bodyOf(answer), text: answer.text, url: made, retryAfterMs: retryAfterOf(answer) };
      }
      const { type } = bodyOf(answer);
      if (type === badNonce && tries < mostTries) continue;
      throw refusalIn(answer);
    }
  }

  /** Reads until `isDone`, with growing pauses, or those that the authority asks for. */
  async poll(url: string, isDone: (body: Json) => boolean): Promise<Json> {
    for (let pauseMs = shortestPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 1.5)) {
      const { body, retryAfterMs = 0 } = await this.post(url);
      if (isDone(body)) return body;
      // The order's own time bounds it.
      await setTimeout(Math.max(pauseMs, retryAfterMs), undefined, { signal: this.#options.signal });
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #signed(url: string, nonce: string, payload: Json | undefined): string {
    const who = this.#account === undefined ? { jwk: this.#jwk } : { kid: this.#account };
    const header = base64({ alg: 'ES256', nonce, url, ...who });
    const body = payload === undefined ? '' : base64(payload);
    const signature = sign('sha256', Buffer.from(`${header}.${body}`), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    return JSON.stringify({ protected: header, payload: body, signature: signature.toString('base64url') });
  }

  #bound({ kid, hmac }: ExternalAccount, url: string): Json {
    const header = base64({ alg: 'HS256', kid, url });
    const payload = base64(this.#jwk);
    const signature = createHmac('sha256', Buffer.from(hmac, 'base64url')).update(`${header}.${payload}`);
    return { protected: header, payload, signature: signature.digest('base64url') };
  }

  async #nextNonce(): Promise<string> {
    if (this.#nonce === undefined) await this.#send('HEAD', await this.urlOf('newNonce'));
    const nonce = this.#nonce;
    this.#nonce = undefined;
    if (nonce === undefined) throw new AuthorityError('the authority gave no nonce');
    return nonce;
  }

  async #send(method: string, url: string, body?: string): Promise<Answer> {
    const answer = await this.#exchange(method, url, body);
    this.#nonce = headerOf(answer, 'replay-nonce') ?? this.#nonce;
    if (method !== 'POST' && answer.status >= 300) throw refusalIn(answer);
    return answer;
  }

  #exchange(method: string, url: string, body: string | undefined): Promise<Answer> {
    const signal = AbortSignal.any([this.#options.signal, AbortSignal.timeout(requestMs)]);
    return new Promise((resolve, reject) => {
      const headers = {
        'User-Agent': 'fastcontainer',
        ...(body !== undefined && {
          'Content-Type': 'application/jose+json',
          'Content-Length': Buffer.byteLength(body),
        }),
      };
      const req = request(url, { method, headers, agent: this.#agent, signal }, (res) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        res.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          bytes += chunk.length;
          if (bytes > mostBytes) req.destroy(new AuthorityError(`an answer has more than ${mostBytes} bytes`));
        });
        res.on('error', reject);
        res.on('end', () => {
          resolve({ status: res.statusCode ?? 0, headers: res.headers, text: Buffer.concat(chunks).toString() });
        });
      });
      req.on('error', reject);
      req.end(body);
    });
  }
}

function base64(value: Json): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function headerOf({ headers }: Answer, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** In milliseconds; RFC 9110 §10.2.3 allows a number of seconds or a date. */
function retryAfterOf(answer: Answer): number | undefined {
  const written = headerOf(answer, 'retry-after');
  if (written === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(written) ? Number(written) * 1000 : Date.parse(written) - Date.now();
  return ms > 0 ? Math.min(ms, longestRetryMs) : undefined;
}

function refusalIn(answer: Answer): AuthorityError {
  let said: Json = {};
  try {
    said = bodyOf(answer);
  } catch {
    // The status says enough.
  }
  const { type, detail } = said;
  const words = [answer.status, ...(typeof type === 'string' ? [`${type}:`] : []), String(detail ?? '')]
    .join(' ')
    .trim();
  return new AuthorityError(words, {
    ...(typeof type === 'string' && { type }),
    retryAfterMs: retryAfterOf(answer),
  });
}

function bodyOf(answer: Answer): Json {
  return headerOf(answer, 'content-type')?.includes('json') ? jsonOf(answer) : {};
}

function jsonOf({ text }: Answer): Json {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Json;
  } catch {}
  throw new AuthorityError('the authority answered with something else than JSON');
}

/** Throws AuthorityError if it is missing. */
export function textIn(body: Json, key: string): string {
  const value = body[key];
  if (typeof value === 'string') return value;
  throw new AuthorityError(`the authority tells no ${key}`);
}

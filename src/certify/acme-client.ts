import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { Agent, request } from 'node:https';
import { setTimeout } from 'node:timers/promises';

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

/** An error of the authority, in its words. */
export class AcmeError extends Error {
  override readonly name = 'AcmeError';
}

/** A chain of certificates has a few KB. */
const mostBytes = 256 * 1024;
const requestMs = 30_000;
/** The nonce was used or is too old: the authority gives another with its answer. */
const badNonce = 'urn:ietf:params:acme:error:badNonce';
const mostTries = 5;
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
  async register(email: string | undefined): Promise<string> {
    const contact = email === undefined ? {} : { contact: [`mailto:${email}`] };
    const resource = await this.urlOf('newAccount');
    // Signed with the key itself, as by somebody unknown.
    this.#account = undefined;
    const { url } = await this.post(resource, { termsOfServiceAgreed: true, ...contact });
    if (url === resource) throw new AcmeError('the authority does not tell the URL of the account');
    return (this.#account = url);
  }

  async urlOf(resource: string): Promise<string> {
    this.#directory ??= jsonOf(await this.#send('GET', this.#options.directory));
    return textIn(this.#directory, resource);
  }

  /** Sends a signed request; without a payload it only reads. `url`: of what was made. */
  async post(
    url: string,
    payload?: Json,
  ): Promise<{ readonly body: Json; readonly text: string; readonly url: string }> {
    for (let tries = 1; ; tries += 1) {
      const answer = await this.#send('POST', url, this.#signed(url, await this.#nextNonce(), payload));
      if (answer.status < 300)
        return { body: bodyOf(answer), text: answer.text, url: headerOf(answer, 'location') ?? url };
      const { type, detail } = bodyOf(answer);
      if (type === badNonce && tries < mostTries) continue;
      throw new AcmeError(`${answer.status} ${String(type ?? '')}: ${String(detail ?? '')}`);
    }
  }

  /** Reads until `isDone`, with growing pauses. */
  async poll(url: string, isDone: (body: Json) => boolean): Promise<Json> {
    for (let pauseMs = shortestPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 1.5)) {
      const { body } = await this.post(url);
      if (isDone(body)) return body;
      await setTimeout(pauseMs, undefined, { signal: this.#options.signal });
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

  async #nextNonce(): Promise<string> {
    if (this.#nonce === undefined) await this.#send('HEAD', await this.urlOf('newNonce'));
    const nonce = this.#nonce;
    this.#nonce = undefined;
    if (nonce === undefined) throw new AcmeError('the authority gave no nonce');
    return nonce;
  }

  async #send(method: string, url: string, body?: string): Promise<Answer> {
    const answer = await this.#exchange(method, url, body);
    this.#nonce = headerOf(answer, 'replay-nonce') ?? this.#nonce;
    if (method !== 'POST' && answer.status >= 300) throw new AcmeError(`${answer.status} of ${url}`);
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
          if (bytes > mostBytes) req.destroy(new AcmeError(`an answer has more than ${mostBytes} bytes`));
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

function bodyOf(answer: Answer): Json {
  return headerOf(answer, 'content-type')?.includes('json') ? jsonOf(answer) : {};
}

function jsonOf({ text }: Answer): Json {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Json;
  } catch {}
  throw new AcmeError('the authority answered with something else than JSON');
}

/** Throws AcmeError if it is missing. */
export function textIn(body: Json, key: string): string {
  const value = body[key];
  if (typeof value === 'string') return value;
  throw new AcmeError(`the authority tells no ${key}`);
}

import { type IncomingHttpHeaders, type IncomingMessage, request as requestOverHttp } from 'node:http';
import { request as requestOverTls } from 'node:https';
import { isMapping } from '../../model/schema/shape.js';
import { printable } from '../../config/problem.js';
import { Failure } from '../exit-codes.js';
import type { AdminTarget } from './admin-target.js';
import { refusal, unreachable } from './refusal.js';

/** JSON of the admin API. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = any;

export interface ApiReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Json;
}

export interface ApiCall {
  /** Parts that are undefined are left out. */
  readonly query?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
}

/** An answer that stands still for this long has failed. */
const silenceMs = 60_000;
const mostBytes = 64 * 1024 ** 2;

/** Asks the admin API of a daemon. All refusals and failures are Failures, whose messages say what to do. */
export class ApiClient {
  readonly #target: AdminTarget;

  constructor(target: AdminTarget) {
    this.#target = target;
  }

  /** The answer of a request that was done. */
  async ask(method: string, path: string, call: ApiCall = {}): Promise<ApiReply> {
    const response = await this.open(method, path, call);
    const text = await this.#textOf(response);
    const status = response.statusCode ?? 0;
    const body = jsonOf(text);
    if (status >= 200 && status < 300 && body !== undefined) return { status, headers: response.headers, body };
    throw refusal(status, body, this.#target);
  }

  /** The pages of a list, as its Link headers lead on. */
  async *pages(path: string, query: ApiCall['query'] = {}): AsyncGenerator<readonly Json[]> {
    let next: string | undefined = path + queryOf(query);
    for (let at = ''; next !== undefined && next !== at;) {
      at = next;
      const { body, headers }: ApiReply = await this.ask('GET', at);
      if (!Array.isArray(body) || !body.every(isMapping)) throw refusal(200, undefined, this.#target);
      yield body as readonly Json[];
      next = /^<(\/v1\/[^>]*)>; *rel="next"/.exec([headers['link'] ?? ''].flat().join())?.[1];
    }
  }

  /** The answer of a stream of server-sent events, which goes on. */
  async follow(path: string, call: ApiCall = {}): Promise<IncomingMessage> {
    const headers = { ...call.headers, accept: 'text/event-stream' };
    const response = await this.open('GET', path, { ...call, headers });
    const { statusCode = 0, headers: had } = response;
    if (statusCode === 200 && had['content-type']?.startsWith('text/event-stream') === true) return response;
    throw refusal(statusCode, jsonOf(await this.#textOf(response)), this.#target);
  }

  /** An answer whose body has not been read. */
  open(method: string, path: string, { query = {}, headers = {}, body }: ApiCall = {}): Promise<IncomingMessage> {
    const { at, token } = this.#target;
    const sent = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const isTls = 'url' in at && at.url.protocol === 'https:';
    return new Promise((resolve, reject) => {
      const request = (isTls ? requestOverTls : requestOverHttp)({
        ...('url' in at ? { host: bare(at.url.hostname), port: at.url.port || (isTls ? 443 : 80) } : at),
        method,
        path: path + queryOf(query),
        agent: false,
        timeout: silenceMs,
        headers: {
          accept: 'application/json',
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(sent && { 'content-type': 'application/json', 'content-length': sent.length }),
          ...Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
        },
      });
      request.once('response', resolve);
      request.once('timeout', () => request.destroy(new Error(`no answer within ${silenceMs / 1_000} s`)));
      request.once('error', (error) => reject(unreachable(error, this.#target)));
      request.end(sent);
    });
  }

  async #textOf(response: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    let length = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > mostBytes) throw new Error(`the answer is larger than ${mostBytes / 1024 ** 2} MiB`);
        chunks.push(chunk);
      }
    } catch (error) {
      throw new Failure(3, `the answer broke off: ${printable((error as Error).message)}`);
    }
    return Buffer.concat(chunks).toString();
  }
}

/** The path of an app's resource. */
export function appPath(name: string, more = ''): string {
  return `/v1/apps/${encodeURIComponent(name)}${more}`;
}

function queryOf(query: NonNullable<ApiCall['query']>): string {
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    [value ?? []].flat().map((one): [string, string] => [key, one]),
  );
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}

/** Undefined if it is no object and no list. */
function jsonOf(text: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    return isMapping(value) || Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Without the brackets of an IPv6 address. */
function bare(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

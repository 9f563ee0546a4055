import type { ApiErrorCode } from './api-error.js';
import type { Caller, Scope } from './caller.js';
import type { StreamMessage } from './event-stream.js';

/** JSON Schema, as the OpenAPI document has it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** One route of the admin API: what serves it, what it needs, and what the OpenAPI document says of it. */
export interface Route {
  readonly method: 'GET' | 'PUT' | 'PATCH' | 'DELETE' | 'POST';
  /** Such as `/v1/apps/{name}`. */
  readonly path: string;
  /** What the caller needs; `none`: no token either. */
  readonly scope: Scope | 'none';
  /** It tells of all apps, so it is not for callers with labels. */
  readonly isWide?: boolean;
  readonly summary: string;
  /** By name. */
  readonly query?: Readonly<Record<string, JsonSchema>>;
  readonly body?: BodyOf;
  /** Headers of the request that it looks at. */
  readonly headers?: readonly ('If-Match' | 'If-None-Match' | 'Last-Event-ID')[];
  /** By status: JSON of this schema, text of this media type, either, or nothing. */
  readonly answers: Readonly<
    Record<number, { readonly description: string; readonly schema?: JsonSchema; readonly type?: string }>
  >;
  /** Beside those that any route gives. */
  readonly errors: readonly ApiErrorCode[];
  handle(request: ApiRequest): Promise<ApiAnswer> | ApiAnswer;
}

interface BodyOf {
  readonly description: string;
  readonly types: readonly string[];
  readonly schema: JsonSchema;
  readonly mostBytes: number;
}

export interface ApiRequest {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  /** As the schema of the query has them. */
  readonly query: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: unknown;
  /** Aborts when the caller has gone, or the server closes: nobody waits for the answer. */
  readonly signal: AbortSignal;
}

export interface ApiAnswer {
  /** 200 if absent. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, or text with `type`. */
  readonly body?: unknown;
  /** Instead of a body: sent one by one, as they come. */
  readonly messages?: AsyncIterable<StreamMessage>;
  readonly type?: string;
}

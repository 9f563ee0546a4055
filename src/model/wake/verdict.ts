import { RequestError } from '../errors.js';

/** An answer in the place of a sleeping app. */
export interface DormantAnswer {
  readonly status: number;
  readonly retryAfterS: number;
  /** Absent: what the error table says. */
  readonly body?: { readonly type: string; readonly text: string };
}

/** What the first rule that matches a request decides; made once per rule. */
export interface Verdict {
  /** Name of the rule, for log and metrics only. */
  readonly rule: string;
  /** Whether the request may wake its app. */
  readonly wakes: boolean;
  /** Whether the request counts as activity of the running app. */
  readonly counts: boolean;
  readonly asleep: DormantAnswer;
}

/** The answer to a request that does not wake its sleeping app. */
export function wakeDenied({ rule, asleep }: Verdict): RequestError {
  const { status, retryAfterS } = asleep;
  const retry = status === 503 || status === 429 ? { retryAfterS } : {};
  return new RequestError('wake_denied', undefined, { cause: `wake rule ${rule}`, answer: asleep, ...retry });
}

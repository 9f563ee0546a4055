/** After a failed boot: how requests are answered until the next attempt is due. `retryAt` is epoch milliseconds. */
export interface Breaker {
  readonly failures: number;
  readonly retryAt: number;
  readonly code: 'boot_failed' | 'boot_timeout';
  readonly message: string;
  /** It failed beside an instance that served: holds back further ones, not the first boot once none is left. */
  readonly scaleOut?: boolean;
}

const firstBackoffMs = 1_000;
const maxBackoffMs = 60_000;

/** The breaker after one more failure: 1 s, 2 s, 4 s … up to 60 s. */
export function nextBreaker(failuresBefore: number, failure: Pick<Breaker, 'code' | 'message'>, now: number): Breaker {
  const backoffMs = Math.min(maxBackoffMs, firstBackoffMs * 2 ** Math.min(failuresBefore, 16));
  return { code: failure.code, message: failure.message, failures: failuresBefore + 1, retryAt: now + backoffMs };
}

/** Milliseconds until a boot may be tried again, at most 60,000 even if the clock stepped; 0: now. */
export function backoffLeftMs(breaker: Breaker | undefined, now: number): number {
  if (!breaker) return 0;
  return Math.min(maxBackoffMs, Math.max(0, breaker.retryAt - now));
}

/** The session's times in milliseconds; the defaults are the protocol's. */
export interface SessionTiming {
  readonly ttlMs: number;
  readonly beatMs: number;
  /** How long a silent user counts that is not proved dead. */
  readonly outageGraceMs: number;
}

export const defaultSessionTiming: SessionTiming = { ttlMs: 10_000, beatMs: 3_000, outageGraceMs: 300_000 };

/** How long a session that is not seen to beat counts as alive, in milliseconds. */
export function silentAfterMs({ ttlMs }: Pick<SessionTiming, 'ttlMs'>): number {
  return ttlMs + 2_000;
}

/** How long after a node's last beat the addresses it uses are their instances' for sure: a freed one rests for a minute. */
export const republishLimitMs = 55_000;

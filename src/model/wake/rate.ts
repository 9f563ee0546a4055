import { durationUnits } from '../duration.js';

/** So many per period. */
export interface Rate {
  readonly count: number;
  readonly periodMs: number;
}

export const rateExpects = 'a rate such as 10/m (per s, m, h or d)';

/** The rate of `10/s 60/m 600/h 5000/d`; undefined if the text is none. */
export function parseRate(text: string): Rate | undefined {
  const match = /^([1-9]\d{0,6})\/([smhd])$/.exec(text);
  return match ? { count: Number(match[1]), periodMs: durationUnits[match[2] as 's' | 'm' | 'h' | 'd'] } : undefined;
}

export const rateFault = (text: string): string | undefined => (parseRate(text) ? undefined : `must be ${rateExpects}`);

/** The part of a rate that each of `parts` has, at least one per period. */
export function partOf({ count, periodMs }: Rate, parts: number): Rate {
  return { count: Math.ceil(count / parts), periodMs };
}

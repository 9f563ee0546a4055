const hourMs = 60 * 60_000;
const dayMs = 24 * hourMs;
/** The part of a certificate's life after which it is renewed, and how far from there one may be moved, so that not all come at once. */
const dueAfter = 2 / 3;
const spread = 1 / 24;
/** After so many failures in a row the pause does not grow further. */
const firstPauseMs = 60_000;
const longestPauseMs = dayMs;

/** When to renew a certificate, in epoch milliseconds; `random` from 0 to 1 chooses the moment among those that are right. */
export function renewalAt(notBefore: number, notAfter: number, random: number): number {
  const life = notAfter - notBefore;
  return Math.round(notBefore + life * (dueAfter - spread * random));
}

/** How long after the last of so many failures in a row the next attempt may begin: a minute, doubled each time up to a day. */
export function pauseAfter(failures: number, random: number): number {
  const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.max(0, failures - 1));
  return Math.round(pause * (1 + random / 4));
}

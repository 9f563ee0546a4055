import type { User } from '../model/instance.js';

/** How many requests one node may have in flight to an instance. */
export interface Share {
  /** Above this, the node looks for another instance. */
  readonly target: number;
  /** At this, its further requests wait. */
  readonly max: number;
}

/**
 * The share of one node among the users of an instance, of which it counts as one in any case. The shares of `max` add up to it, with
 * the remainder for the first by name; if there are more nodes than `max`, each has one.
 */
export function fairShare(concurrency: Share, users: Readonly<Record<string, User>>, me: string): Share {
  let nodes = 1;
  let before = 0;
  for (const user in users) {
    if (user === me) continue;
    nodes += 1;
    if (user < me) before += 1;
  }
  const even = Math.floor(concurrency.max / nodes);
  const max = Math.max(1, before < concurrency.max % nodes ? even + 1 : even);
  return { max, target: Math.min(max, Math.ceil(concurrency.target / nodes)) };
}

import { nextDueAt } from '../../model/schedule.js';
import type { Keys } from './keys.js';
import type { Command, Link } from './link.js';
import type { Records } from './records.js';

/**
 * Brings the set of names and the schedule to what is stored of these apps, after one of them went or came. Both lie in
 * other slots than the records, so that they are taken out first and put back where the app is there again meanwhile.
 */
export async function settle(names: readonly string[], link: Link, keys: Keys, records: Records): Promise<void> {
  if (names.length === 0) return;
  const texts = await records.texts(names);
  const gone = names.filter((_name, index) => texts[index] === undefined);
  await link.all(
    gone.flatMap((name): Command[] => [
      ['srem', keys.names, name],
      ['zrem', keys.schedule, name],
    ]),
  );
  const now = await records.all(names);
  const commands = names.flatMap((name, index): Command[] => {
    const stored = now[index];
    if (stored?.appText === undefined) return [];
    const at = nextDueAt(stored.deployment.deployment, stored.app?.app);
    return [
      ['sadd', keys.names, name],
      ...(at === undefined ? [] : [['zadd', keys.schedule, 'LT', stored.app?.removed ? 0 : at, name]]),
    ];
  });
  await link.all(commands);
}

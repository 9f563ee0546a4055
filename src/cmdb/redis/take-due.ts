import { nextDueAt } from '../../model/schedule.js';
import type { Keys } from './keys.js';
import type { Command, Link } from './link.js';
import type { Records, Stored } from './records.js';

export interface ScheduleContext {
  readonly link: Link;
  readonly keys: Keys;
  readonly records: Records;
}

const postponeMs = 5_000;

/** See Cmdb.due. An entry may be earlier than its document asks for: then it is moved to where it belongs. */
export async function takeDue(context: ScheduleContext, now: number, limit: number): Promise<string[]> {
  const { link, keys, records } = context;
  const range = ['zrangebyscore', keys.schedule, '-inf', now, 'WITHSCORES', 'LIMIT', '0', limit];
  const flat = (await link.one(range)) as string[];
  const names = flat.filter((_text, index) => index % 2 === 0);
  const stored = await records.all(names);
  const entries = names.map((name, index) => {
    const at = dueAt(stored[index] as Stored);
    return { name, seen: flat[2 * index + 1] as string, at, isDue: at !== undefined && at <= now };
  });
  const answers = await link.all(
    entries.map(({ name, seen, at, isDue }): Command => {
      if (at === undefined) return ['fcUnschedule', keys.schedule, name, seen];
      return ['fcTake', keys.schedule, name, seen, isDue ? now + postponeMs : at];
    }),
  );
  await moveBack(
    entries.filter(({ isDue }) => !isDue).map(({ name }) => name),
    context,
  );
  return entries.filter(({ isDue }, index) => isDue && answers[index] === 1).map(({ name }) => name);
}

/** Whoever moved a document's deadline earlier while its entry was moved later is not lost. */
async function moveBack(names: readonly string[], { link, keys, records }: ScheduleContext): Promise<void> {
  const stored = await records.all(names);
  await link.all(
    names.flatMap((name, index): Command[] => {
      const at = dueAt(stored[index] as Stored);
      return at === undefined ? [] : [['zadd', keys.schedule, 'LT', at, name]];
    }),
  );
}

/** What is left of a removed app is looked at soon, whatever its own times are. */
export function dueAt({ app, deployment }: Stored): number | undefined {
  const at = nextDueAt(deployment.deployment, app?.app);
  return at !== undefined && app?.removed ? 0 : at;
}

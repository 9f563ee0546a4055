import { setTimeout as sleep } from 'node:timers/promises';
import type { App } from '../../model/app.js';
import type { DomainConflict } from '../cmdb.js';
import { recordToPut, staysAs } from '../app-origin.js';
import { encodeApp, holdsApp } from '../record-format.js';
import type { ApplyContext } from './apply-context.js';
import { batches } from '../batches.js';
import { claimantOf } from './claim.js';
import { putChanged } from './put.js';
import { removeAll } from './remove.js';
import { UnknownOutcome } from './unknown-outcome.js';
import type { Wanted } from './wanted.js';

/** Apps looked at in one round trip. */
const batch = 500;

/**
 * See Cmdb.apply. Records are written before domains are claimed: whoever sees a claim sees that its owner lists the
 * domain, so that of two who want one domain at once only one can have it. What fails on the way is looked at again
 * until it is known.
 */
export async function applyApps(
  put: readonly App[],
  remove: readonly string[],
  context: ApplyContext,
): Promise<DomainConflict[]> {
  // Removed first: what they give up may be wanted by the others.
  for (const names of batches(remove, batch)) await persistently(context, () => removeAll(names, context));
  const conflicts: DomainConflict[] = [];
  for (let open = put; open.length > 0;) {
    const round = await persistently(context, async () => putChanged(await changedOf(open, context), context));
    conflicts.push(...round.conflicts);
    open = round.raced;
    // Two dispatchers that want the same must not get into each other's way for ever.
    if (open.length > 0) await sleep(5 + Math.random() * 45);
  }
  return conflicts;
}

async function persistently<T>({ link, touched }: ApplyContext, run: () => Promise<T>): Promise<T> {
  const outcome = new UnknownOutcome();
  for (;;) {
    try {
      return await run();
    } catch (error) {
      await outcome.lookAgain(error, touched.size > 0 && !link.isClosed);
    }
  }
}

/** Those that are not stored as they are with all their claims, nor stay as they are for being newer. */
async function changedOf(apps: readonly App[], { records, touched, origins }: ApplyContext): Promise<Wanted[]> {
  const changed: Wanted[] = [];
  for (const some of batches(apps, batch)) {
    const domains = some.flatMap((app) => app.domains);
    const [texts, claims] = await Promise.all([records.texts(some.map(({ name }) => name)), records.claims(domains)]);
    let next = 0;
    for (const [index, app] of some.entries()) {
      const own = claims.slice(next, (next += app.domains.length));
      const before = texts[index];
      const origin = origins.get(app.name);
      const stored = () => records.app(app.name, before);
      if (staysAs(app, before, origin, stored)) {
        if (!holdsApp(before, app)) continue;
        if (!touched.has(app.name) && own.every((claim) => claimantOf(claim) === app.name)) continue;
      }
      const text = encodeApp(recordToPut(app, before, stored(), origin));
      changed.push({ app, text, before, claims: new Map(app.domains.map((domain, at) => [domain, own[at]])) });
    }
  }
  return changed;
}

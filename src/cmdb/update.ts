import { randomBytes } from 'node:crypto';
import { entriesOf } from '../model/ledger/event.js';
import type { Note } from '../model/ledger/facts.js';
import { nextDueAt } from '../model/schedule.js';
import { dayOf, summed, usageOfChange } from '../model/usage.js';
import { changeTo } from './change-to.js';
import type { DeploymentChange, Updated } from './cmdb.js';
import type { Documents } from './documents.js';
import type { Records } from './records.js';
import { tombstone } from './tombstone.js';

/** The work of Cmdb.update within one transaction, at the time `now`. */
export function updateDeployment(
  app: string,
  change: DeploymentChange,
  note: Note | undefined,
  { documents, records, now }: UpdateContext,
): Updated {
  const current = records.deployment(app);
  const stored = records.app(app);
  const before = current.deployment;
  const read = { before, app: stored?.app };
  const deployment = change(before, read.app);
  if (deployment === before) return { ...read, ...current };
  const next = { deployment, version: newVersion() };
  // An unreadable record is kept: a newer version may have written it.
  const isGone = stored ? stored.removed : records.appText(app) === undefined;
  if (isGone && deployment.instances.length === 0) records.drop(app);
  else {
    records.putDeployment(app, next);
    if (isGone && !stored) records.putApp(app, tombstone(app, deployment));
    const at = nextDueAt(deployment, read.app);
    // The instances of a removed app are looked at soon, whatever their own times are.
    if (isGone && at !== undefined) documents.scheduleBy(app, at);
    else documents.schedule(app, at);
  }
  for (const entry of entriesOf(before, deployment, read.app, note)) documents.enter(app, JSON.stringify(entry));
  documents.append(changeTo(deployment, next.version));
  const labels = stored?.app.labels ?? {};
  const today = dayOf(now);
  for (const [day, counts] of summed(usageOfChange(before, deployment, now, note?.ran)))
    documents.use({ app, labels, day, counts, isOver: day < today });
  return { ...read, ...next };
}

export interface UpdateContext {
  readonly documents: Documents;
  readonly records: Records;
  readonly now: number;
}

/** A random version for a deployment that is written. */
export function newVersion(): string {
  return randomBytes(12).toString('base64url');
}

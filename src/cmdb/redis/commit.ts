import { createHash } from 'node:crypto';
import { entriesPerApp } from '../documents.js';
import { type Day, dayMs, oldestDay } from '../../model/usage.js';
import type { Draft } from '../draft.js';
import type { Keys } from './keys.js';
import { rowName } from '../usage-row.js';
import type { Command } from './link.js';

export interface CommitLimits {
  /** Approximate number of changes that the log holds. */
  readonly logLength: number;
  /** For how many days usage is kept. */
  readonly usageDays: number;
  /** The time in epoch milliseconds. */
  readonly now: number;
}

/**
 * The command that writes a draft if no document that it was made from has changed. `read` has these by key, undefined if absent; only
 * their digests are sent, which are much shorter.
 */
export function commitCommand(
  draft: Draft,
  read: ReadonlyMap<string, string | undefined>,
  keys: Keys,
  { logLength, usageDays, now }: CommitLimits,
): Command {
  const documents = new Map<string, (string | number)[]>();
  for (const [key, text] of read) documents.set(key, [text === undefined ? '-' : sha1(text), '']);
  const effects: (string | number)[] = [];
  for (const { table, name, text } of draft.writes) {
    const key = keys.document(table, name);
    const [seen = ''] = documents.get(key) ?? [];
    documents.set(key, text === undefined ? [seen, 'delete'] : [seen, 'set', text]);
    if (table !== 'app') continue;
    effects.push(text === undefined ? 'unnamed' : 'named', name);
    // What happened to it is not for the next app of its name.
    if (text === undefined) documents.set(keys.ledgerOf(name), ['', 'delete']);
  }
  for (const [app, { at, isBy }] of draft.moves) {
    if (at === undefined) effects.push('unscheduled', app);
    else effects.push(isBy ? 'scheduled by' : 'scheduled', app, at);
  }
  for (const { app, version, hosts } of draft.changes) {
    const fields = [
      ...(version === undefined ? [] : ['version', version]),
      ...(hosts === undefined ? [] : ['hosts', JSON.stringify(hosts)]),
    ];
    effects.push(logLength, app, fields.length, ...fields);
  }
  for (const { app, text } of draft.entries) {
    const place = draft.drops(app) ? 0 : placeOf(keys.ledgerOf(app), documents);
    effects.push('entered', place, text, logLength, entriesPerApp);
  }
  const oldest = oldestDay(now, usageDays);
  for (const { app, labels, day, counts, isOver } of draft.uses) {
    if (day < oldest) continue;
    const place = placeOf(keys.document('usage', rowName(day, app)), documents);
    const seconds = Math.ceil((Date.parse(day) + (usageDays + 1) * dayMs - now) / 1_000);
    const pairs = Object.entries(counts).flat();
    effects.push('used', app, place, numberOf(day), numberOf(oldest), seconds, JSON.stringify(labels), isOver ? 1 : 0);
    effects.push(pairs.length / 2, ...pairs);
  }
  const all = [keys.names, keys.schedule, keys.changes, keys.ledger, keys.users, ...documents.keys()];
  return ['fcCommit', all.length, ...all, ...[...documents.values()].flat(), ...effects];
}

/** Number of a key in the script, which neither compares nor writes it. */
function placeOf(key: string, documents: Map<string, (string | number)[]>): number {
  if (!documents.has(key)) documents.set(key, ['', '']);
  return fixedKeys + 1 + [...documents.keys()].indexOf(key);
}

/** Such as 20261130. */
export function numberOf(day: Day): number {
  return Number(day.replaceAll('-', ''));
}

/** Keys of the script before those of the documents. */
const fixedKeys = 5;

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

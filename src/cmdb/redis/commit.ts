import { createHash } from 'node:crypto';
import { entriesPerApp } from '../documents.js';
import type { Draft } from '../draft.js';
import type { Keys } from './keys.js';
import type { Command } from './link.js';

/**
 * The command that writes a draft if no document that it was made from has changed. `read` has these by key, undefined if absent; only
 * their digests are sent, which are much shorter.
 */
export function commitCommand(
  draft: Draft,
  read: ReadonlyMap<string, string | undefined>,
  keys: Keys,
  logLength: number,
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
    const key = keys.ledgerOf(app);
    const isKept = !draft.drops(app);
    if (isKept && !documents.has(key)) documents.set(key, ['', '']);
    const place = isKept ? fixedKeys + 1 + [...documents.keys()].indexOf(key) : 0;
    effects.push('entered', place, text, logLength, entriesPerApp);
  }
  const all = [keys.names, keys.schedule, keys.changes, keys.ledger, ...documents.keys()];
  return ['fcCommit', all.length, ...all, ...[...documents.values()].flat(), ...effects];
}

/** Keys of the script before those of the documents. */
const fixedKeys = 4;

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

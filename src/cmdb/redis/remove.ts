import { encodeApp } from '../record-format.js';
import { tombstone } from '../tombstone.js';
import type { ApplyContext } from './apply-context.js';
import type { Command } from './link.js';
import type { Stored } from './records.js';
import { releaseVoid } from './release-void.js';
import { settle } from './settle.js';

/**
 * Removes apps, each by compare-and-set until it stands: one without instances goes, another is marked and drains. One
 * that cannot be read goes as well: its claims lead nowhere, and what runs of it drains under a record that says so.
 */
export async function removeAll(names: readonly string[], context: ApplyContext): Promise<void> {
  for (let open = names; open.length > 0;) open = await removeOnce(open, context);
}

/** Removes an app as long as this text of its record stands: another one is somebody else's. */
export async function removeIfStill(name: string, text: string, context: ApplyContext): Promise<void> {
  for (let open = [name]; open.length > 0;) open = await removeOnce(open, context, text);
}

/** Those that are to be looked at again: somebody else wrote, or it was marked and its last instance may have gone before. */
async function removeOnce(names: readonly string[], context: ApplyContext, only?: string): Promise<string[]> {
  const { link, keys, records, append, touched } = context;
  const found = await records.all(names);
  const there = names.flatMap((name, index) => {
    const stored = found[index] as Stored;
    // Marked by the round before, it is looked at for its last instance.
    if (only !== undefined && stored.appText !== only && !stored.app?.removed) return [];
    return isThere(stored) || touched.has(name) ? [{ name, stored, ...stepOf(name, stored, context) }] : [];
  });
  for (const { name } of there) touched.add(name);
  const answers = await link.all(there.map(({ command }) => command));
  const done = there.filter(({ success }, index) => answers[index] === success);
  await link.all(done.map(({ name }) => append(name)));
  await releaseVoid(
    done.flatMap(({ stored: { app } }) => app?.app.domains ?? []),
    context,
  );
  const doneNames = done.map(({ name }) => name);
  await settle(doneNames, link, keys, records);
  for (const name of doneNames) touched.delete(name);
  return there.filter(({ goes }, index) => answers[index] !== there[index]?.success || !goes).map(({ name }) => name);
}

/** The command that takes the app away, and its answer where it did. */
function stepOf(name: string, { app, appText = '', deployment }: Stored, { keys }: ApplyContext) {
  if (deployment.deployment.instances.length === 0) {
    const command: Command = ['fcDrop', keys.deployment(name), keys.app(name), deployment.version, appText];
    return { command, success: 1, goes: true };
  }
  const marked = encodeApp(app ? { app: app.app, removed: true } : tombstone(name, deployment.deployment));
  const command: Command = ['fcReplace', keys.app(name), appText, marked];
  return { command, success: marked, goes: false };
}

function isThere({ app, appText, deployment }: Stored): boolean {
  const isEmpty = deployment.deployment.instances.length === 0;
  return isEmpty ? appText !== undefined || deployment.version !== '' : app?.removed !== true;
}

import { encodeApp, type StoredApp } from '../record-format.js';
import type { ApplyContext } from './apply-context.js';
import type { Wanted } from './wanted.js';
import { claimantOf, newClaim } from './claim.js';
import { listedBy } from './records.js';
import { releaseVoid } from './release-void.js';
import { removeIfStill } from './remove.js';

/**
 * Puts back what was stored before `app`, which could not get all its domains after all. A domain that it was to give up and
 * that somebody has taken since stays with them; the others are claimed anew, so that nobody takes them on old grounds.
 */
export async function undo(wanted: Wanted, context: ApplyContext): Promise<void> {
  const { app, text, before } = wanted;
  const { link, keys, records, append } = context;
  const old = records.app(app.name, before);
  if (before === undefined) await removeIfStill(app.name, text, context);
  else if (!old || old.removed) await link.all([['fcReplace', keys.app(app.name), text, before], append(app.name)]);
  else await restore(wanted, old, context);
  // Also what was claimed anew: somebody else may have stored the app since, without it.
  await releaseVoid([...app.domains, ...(old?.app.domains ?? [])], context);
}

async function restore({ app, text }: Wanted, { app: old, origin }: StoredApp, context: ApplyContext): Promise<void> {
  const { link, keys, records, append } = context;
  let standing = text;
  for (;;) {
    const given = old.domains.filter((domain) => !app.domains.includes(domain));
    const claims = await records.claims(given);
    const owners = claims.map((claim) => claimantOf(claim) ?? app.name);
    const texts = await records.texts(owners);
    const isLost = (index: number) =>
      owners[index] !== app.name &&
      listedBy(records.app(owners[index] as string, texts[index])).includes(given[index] as string);
    const lost = new Set(given.filter((_domain, index) => isLost(index)));
    const restored = { ...old, domains: old.domains.filter((domain) => !lost.has(domain)) };
    const next = encodeApp({ app: restored, removed: false, ...(origin && { origin }) });
    const [stands] = await link.all([['fcReplace', keys.app(app.name), standing, next], append(app.name)]);
    // Somebody else has stored the app meanwhile: theirs counts.
    if (stands !== next) return;
    standing = next;
    const own = given.flatMap((domain, index) =>
      lost.has(domain) ? [] : [{ domain, expected: claims[index] ?? '', claim: newClaim(app.name) }],
    );
    const answers = await link.all(
      own.map(({ domain, expected, claim }) => ['fcReplace', keys.domain(domain), expected, claim]),
    );
    if (own.every(({ claim }, index) => answers[index] === claim)) return;
  }
}

import type { App } from '../../model/app.js';
import { nextDueAt } from '../../model/schedule.js';
import { resolveClaims } from '../claims.js';
import type { DomainConflict } from '../cmdb.js';
import type { ApplyContext } from './apply-context.js';
import { batches } from '../batches.js';
import { claimantOf, newClaim } from './claim.js';
import type { Command } from './link.js';
import { listedBy, type Stored } from './records.js';
import { releaseVoid } from './release-void.js';
import { settle } from './settle.js';
import { undo } from './undo.js';
import type { Wanted } from './wanted.js';

export interface Round {
  readonly conflicts: readonly DomainConflict[];
  /** Somebody else wrote at the same time: to be looked at anew. */
  readonly raced: readonly App[];
}

const batch = 250;

/** Stores those that get all their domains: all records, then all claims, then what was given up. */
export async function putChanged(changed: readonly Wanted[], context: ApplyContext): Promise<Round> {
  const listings = await listingsOf(changed, context);
  const claims = new Map(changed.flatMap((wanted) => [...wanted.claims]));
  const owns = (name: string, domain: string) => listings.get(name)?.includes(domain) === true;
  const given = givenUp(changed, listings);
  const givenClaims = await context.records.claims(given.map(({ domain }) => domain));
  for (const [index, { domain }] of given.entries()) claims.set(domain, givenClaims[index]);
  const { accepted, conflicts } = resolveClaims(
    changed.map(({ app }) => app),
    {
      ownerOf: (domain) => {
        const owner = claimantOf(claims.get(domain));
        return owner !== undefined && owns(owner, domain) ? owner : undefined;
      },
      domainsOf: (name) => (listings.get(name) ?? []).filter((domain) => claimantOf(claims.get(domain)) === name),
    },
  );
  const isAccepted = new Set(accepted.map(({ name }) => name));
  const wanted = changed.filter(({ app }) => isAccepted.has(app.name));
  const written = await inBatches(wanted, (some) => writeRecords(some, context));
  const names = new Set(written.map(({ app }) => app.name));
  const failed = new Set(wanted.filter(({ app }) => !names.has(app.name)).map(({ app }) => app.name));
  const claimed = await inBatches(written, (some) => claimDomains(some, { owns, failed, context }));
  const stands = new Set(claimed.map(({ app }) => app.name));
  for (const wanted of written) if (!stands.has(wanted.app.name)) await undo(wanted, context);
  await releaseVoid(
    given.filter(({ name }) => stands.has(name)).map(({ domain }) => domain),
    context,
  );
  for (const name of stands) context.touched.delete(name);
  return { conflicts, raced: wanted.map(({ app }) => app).filter(({ name }) => !stands.has(name)) };
}

/** The domains listed at present by these apps and by those that hold what they want. */
async function listingsOf(
  changed: readonly Wanted[],
  { records }: ApplyContext,
): Promise<Map<string, readonly string[]>> {
  const texts = new Map(changed.map(({ app, before }) => [app.name, before]));
  const owners = new Set(changed.flatMap(({ claims }) => [...claims.values()].map(claimantOf)));
  const others = [...owners].filter((name) => name !== undefined).filter((name) => !texts.has(name));
  for (const names of batches(others, batch))
    for (const [index, text] of (await records.texts(names)).entries()) texts.set(names[index] as string, text);
  return new Map([...texts].map(([name, text]) => [name, listedBy(records.app(name, text))]));
}

function givenUp(changed: readonly Wanted[], listings: ReadonlyMap<string, readonly string[]>) {
  return changed.flatMap(({ app: { name, domains } }) =>
    (listings.get(name) ?? []).filter((domain) => !domains.includes(domain)).map((domain) => ({ name, domain })),
  );
}

async function writeRecords(some: readonly Wanted[], { link, keys, append, touched }: ApplyContext): Promise<Wanted[]> {
  for (const { app } of some) touched.add(app.name);
  const replace = some.map(({ app, text, before = '' }) => ['fcReplace', keys.app(app.name), before, text]);
  // A new one is told of when it has its domains.
  const known = some.filter(({ before }) => before !== undefined);
  const names = some.map(({ app }) => app.name);
  const answers = await link.all([
    ...replace,
    ['sadd', keys.names, ...names],
    ...known.map(({ app }) => append(app.name)),
  ]);
  return some.filter(({ text }, index) => answers[index] === text);
}

interface ClaimContext {
  /** Whether an app listed a domain before this change. */
  readonly owns: (name: string, domain: string) => boolean;
  /** Apps of this change that keep what they had after all. */
  readonly failed: ReadonlySet<string>;
  readonly context: ApplyContext;
}

interface DomainClaim {
  readonly domain: string;
  /** The claim that was judged; '' where there is none. */
  readonly expected: string;
  readonly claim: string;
}

/**
 * Claims what the apps did not list before, and what was lost. Those that got all of it. A claim that is taken over must
 * still be the very one that was judged: its owner may have been stored since.
 */
async function claimDomains(some: readonly Wanted[], { owns, failed, context }: ClaimContext): Promise<Wanted[]> {
  const { link, keys, records, append } = context;
  const missing = some.map(({ app: { name, domains }, claims }) =>
    [...new Set(domains)]
      .filter((domain) => claimantOf(claims.get(domain)) !== name || !owns(name, domain))
      .map((domain) => ({ domain, expected: claims.get(domain) ?? '', claim: newClaim(name) })),
  );
  const isBlocked = ({ domain, expected }: DomainClaim) => {
    const owner = claimantOf(expected) ?? '';
    return failed.has(owner) && owns(owner, domain);
  };
  const possible = missing.map((claims) => (claims.some(isBlocked) ? [] : claims));
  const got = await claimAll(possible.flat(), context);
  const stored = await records.all(some.map(({ app }) => app.name));
  const done = some.filter((_wanted, index) => missing[index]?.every((claim) => got.has(claim)) === true);
  // Told after the claims stand: who looks up a domain because of it is not to find it without an owner.
  const toTell = some.flatMap(({ app }, index): Command[] => {
    const at = nextDueAt((stored[index] as Stored).deployment.deployment, app);
    return [
      ...(at === undefined ? [] : [['zadd', keys.schedule, 'LT', at, app.name]]),
      ...(missing[index]?.length === 0 ? [] : [append(app.name)]),
    ];
  });
  await link.all(toTell);
  // Somebody stored or removed the app meanwhile, and may have looked for its claims before they were made.
  const changed = some.filter(({ text }, index) => stored[index]?.appText !== text);
  await releaseVoid(
    changed.flatMap(({ app }) => app.domains),
    context,
  );
  await settle(
    changed.map(({ app }) => app.name),
    link,
    keys,
    records,
  );
  return done;
}

/**
 * Those that stand then. One that another node made meanwhile for the same app is replaced: that node may have judged it to be
 * void before this one stored the app.
 */
async function claimAll(claims: readonly DomainClaim[], { link, keys }: ApplyContext): Promise<Set<DomainClaim>> {
  const got = new Set<DomainClaim>();
  let open = claims.map((wanted) => ({ wanted, expected: wanted.expected }));
  // Each lost round means that another node is through.
  while (open.length > 0) {
    const answers = await link.all(
      open.map(({ wanted: { domain, claim }, expected }) => ['fcReplace', keys.domain(domain), expected, claim]),
    );
    const answered = open.map(({ wanted }, index) => ({ wanted, expected: String(answers[index]) }));
    for (const { wanted, expected } of answered) if (expected === wanted.claim) got.add(wanted);
    open = answered.filter(
      ({ wanted: { claim }, expected }) => expected !== claim && claimantOf(expected) === claimantOf(claim),
    );
  }
  return got;
}

async function inBatches<T>(items: readonly T[], run: (some: readonly T[]) => Promise<readonly T[]>): Promise<T[]> {
  const results: T[] = [];
  for (const some of batches(items, batch)) results.push(...(await run(some)));
  return results;
}

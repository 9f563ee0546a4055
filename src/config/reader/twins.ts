import type { Path } from '../path.js';
import type { AppFile } from '../../model/app-keys.js';
import type { SourceDocument } from './source.js';

/** A document of an app file, which claims a name and domains. */
export interface Claimant {
  /** Absolute path. */
  readonly file: string;
  readonly document: SourceDocument;
  /** In their normal form, in the order of the document. */
  readonly domains: readonly string[];
  readonly byCustomer: boolean;
}

/** The claims in force, which come first. */
export interface Incumbents {
  /** The file of an app. */
  readonly fileOf: ReadonlyMap<string, string>;
  /** The app of a domain, among those of operators. */
  readonly ownerOf: ReadonlyMap<string, string>;
  /** Whether a file has a fault, so that it may still hold what it held. */
  readonly isBroken: (file: string) => boolean;
}

export interface Twin {
  readonly path: Path;
  readonly message: string;
}

export interface Twins {
  /** The claimants that are refused, and why; the others become apps. */
  readonly refused: ReadonlyMap<Claimant, readonly Twin[]>;
  /** Domains of customers' apps that an operator's file gives to another app. */
  readonly taken: ReadonlyMap<Claimant, readonly (Twin & { readonly domain: string })[]>;
  /** The app of a domain, among those of operators. */
  readonly ownerOf: ReadonlyMap<string, string>;
}

/**
 * Decides which document gets a name or domain that several claim: operators' files come before customers', then what is in
 * force, then the first. Between two customers the store decides who gets a domain.
 */
export function findTwins(claimants: readonly Claimant[], before: Incumbents): Twins {
  const refused = new Map<Claimant, Twin[]>();
  const refuse = (claimant: Claimant, twin: Twin) => refused.set(claimant, [...(refused.get(claimant) ?? []), twin]);
  for (const [claimant, twin] of namesakes(claimants, before)) refuse(claimant, twin);

  const wanted = new Map<string, { claimant: Claimant; path: Path }[]>();
  for (const claimant of claimants) {
    if (claimant.byCustomer) continue;
    for (const { domain, path } of domainsOf(claimant)) {
      const others = wanted.get(domain);
      if (!others) wanted.set(domain, [{ claimant, path }]);
      else if (others.at(-1)?.claimant !== claimant) others.push({ claimant, path });
    }
  }
  const owners = new Map<string, { claimant: Claimant; path: Path }>();
  for (const [domain, wants] of wanted) {
    const owner = wants.find(({ claimant }) => nameOf(claimant) === before.ownerOf.get(domain)) ?? wants[0]!;
    owners.set(domain, owner);
    for (const { claimant, path } of wants)
      if (claimant !== owner.claimant) refuse(claimant, { path, message: belongs(domain, owner) });
  }
  const taken = new Map<Claimant, (Twin & { domain: string })[]>();
  for (const claimant of claimants) {
    if (!claimant.byCustomer) continue;
    const lost = domainsOf(claimant).flatMap(({ domain, path }) => {
      const owner = owners.get(domain);
      return owner ? [{ domain, path, message: belongs(domain, owner) }] : [];
    });
    if (lost.length > 0) taken.set(claimant, lost);
  }
  const ownerOf = new Map([...owners].map(([domain, { claimant }]) => [domain, nameOf(claimant)]));
  return { refused, taken, ownerOf };
}

function* namesakes(claimants: readonly Claimant[], { fileOf, isBroken }: Incumbents): Generator<[Claimant, Twin]> {
  const byName = new Map<string, Claimant[]>();
  for (const claimant of claimants) {
    const name = nameOf(claimant);
    const others = byName.get(name);
    if (others) others.push(claimant);
    else byName.set(name, [claimant]);
  }
  for (const [name, all] of byName) {
    const file = fileOf.get(name);
    const path = ['name'];
    const ours = all.filter(({ byCustomer }) => !byCustomer);
    const among = ours.length > 0 ? ours : all;
    const winner = among.find((claimant) => claimant.file === file) ?? among[0]!;
    for (const claimant of all) {
      if (claimant !== winner) yield [claimant, { path, message: `app ${name} is also in ${placeOf(winner, path)}` }];
      else if (claimant.byCustomer && file !== undefined && file !== claimant.file && isBroken(file))
        yield [claimant, { path, message: `app ${name} is in force from another file` }];
    }
  }
}

function domainsOf({ document, domains }: Claimant): { domain: string; path: Path }[] {
  const isOne = typeof (document.value as AppFile).domains === 'string';
  return domains.map((domain, index) => ({ domain, path: isOne ? ['domains'] : ['domains', index] }));
}

function nameOf({ document }: Claimant): string {
  return (document.value as AppFile).name;
}

function belongs(domain: string, { claimant, path }: { claimant: Claimant; path: Path }): string {
  return `${domain} belongs to app ${nameOf(claimant)} already (${placeOf(claimant, path)})`;
}

function placeOf({ document }: Claimant, path: Path): string {
  return `${document.file}:${document.lineOf(path)}`;
}

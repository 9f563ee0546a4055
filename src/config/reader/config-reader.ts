import { dirname, join, resolve } from 'node:path';
import { Compile } from '../../model/schema/typebox.js';
import type { App } from '../../model/app.js';
import { type AppFile, appFileSchema, customerFileSchema } from '../../model/app-keys.js';
import type { Settings } from '../config.js';
import { customerKeyFault, type CustomerTerms } from '../customer-terms.js';
import { readDomain } from '../../model/domain.js';
import { type Glob, glob, type Unlisted } from '../glob.js';
import { type Environment, interpolate, refuseVariables } from '../interpolate.js';
import { formatListenAddress, isLoopback } from '../listen-address.js';
import { ManifestFile } from '../manifest.js';
import { formatPath, type Path, showFile } from '../path.js';
import { ConfigError, type Problem, problemAt } from '../problem.js';
import { figureNotices } from '../figure-notices.js';
import { type FileApp, mostNotices, mostProblems, type Places, type Reading } from '../reading.js';
import { normalisedDomains, resolveApp } from '../resolve-app.js';
import { defaultsOf, resolveSettings } from '../resolve-settings.js';
import { type MainFile, mainSchema } from '../schema/main-file.js';
import { type Looked, unmatchedNotice, unreadNotice } from '../unread-files.js';
import { operatorBounds } from '../yaml-file.js';
import { placesOf } from './places.js';
import { isLink } from './read-text.js';
import { type Source, type SourceDocument, SourceReader } from './source.js';
import { type Claimant, findTwins, type Twins } from './twins.js';

export interface ConfigReaderOptions {
  readonly file: string;
  readonly env: Environment;
  /** The files of apps in force; absent: those in the record of applied apps. */
  readonly known?: ReadonlyMap<string, string>;
  /** Files that are not parsed until they change, and why. */
  readonly skip?: ReadonlyMap<string, string>;
  /** Called with its file before a document is parsed, which may take long, and with '' when a file is done. */
  readonly onDocument?: (file: string) => void;
}

const mebibyte = 1024 ** 2;
const [mainFiles, appFiles, customerFiles] = [Compile(mainSchema), Compile(appFileSchema), Compile(customerFileSchema)];

/**
 * Reads the main file and the app files it names. App patterns are relative to the directory of the main file; all other paths
 * are relative to the working directory. What did not change since the last reading is not parsed again. Blocks: run it in a
 * thread, or before the start.
 */
export class ConfigReader {
  readonly #main: string;
  readonly #env: Environment;
  readonly #readers: Readonly<Record<'main' | 'operator' | 'customer', SourceReader>>;
  /** In force: the file of each app, and the app of each domain of operators. */
  #fileOf: ReadonlyMap<string, string> | undefined;
  #ownerOf: ReadonlyMap<string, string> = new Map();
  readonly #apps = new Map<string, FileApp>();
  #places: Places | undefined;
  /** The last reading, if it succeeded. */
  #last: Last | undefined;
  /** By document, for the plans, defaults and entries in `#context`. */
  #resolved = new Map<SourceDocument, Resolution>();
  readonly #domains = new WeakMap<SourceDocument, readonly string[]>();
  #context = '';

  constructor({ file, env, known, skip, onDocument }: ConfigReaderOptions) {
    this.#main = resolve(file);
    this.#env = env;
    this.#fileOf = known;
    const ours = {
      interpolate: (text: string) => interpolate(text, env),
      mostBytes: mebibyte,
      yaml: operatorBounds,
      skip,
      onDocument,
    };
    this.#readers = {
      main: new SourceReader({ ...ours, schema: mainSchema, isSound: (value) => mainFiles.Check(value) }),
      operator: new SourceReader({ ...ours, schema: appFileSchema, isSound: (value) => appFiles.Check(value) }),
      customer: new SourceReader({
        schema: customerFileSchema,
        isSound: (value) => customerFiles.Check(value),
        interpolate: refuseVariables,
        mostBytes: mebibyte / 16,
        yaml: { ...operatorBounds, quotes: false, documents: 20, documentTokens: 5_000 },
        keyFault: customerKeyFault,
        skip,
        onDocument,
      }),
    };
  }

  /**
   * `changed` names all files that may have changed since the last reading; absent: any may have. Throws a ConfigError if the main
   * file is wrong; it names the problems of app files as well.
   */
  read(changed?: readonly string[]): Reading {
    const last = this.#last;
    this.#last = undefined;
    const source = this.#readers.main.read(this.#main);
    const files = changed && last && last.main.source === source ? this.#rereadAlike(last, changed) : undefined;
    this.#last = (last && files && this.#resolveAlike(last, files)) ?? this.#readAll(source);
    return this.#last.reading;
  }

  #readAll(source: Source | undefined): Last {
    const problems: Problem[] = [];
    const written = mainDocument(this.#main, source, problems);
    const report = written ? reporter(written.document, problems) : () => {};
    const entries = entriesOf(written ? written.value : source?.unsound[0], this.#main);
    entries.forEach(({ pattern, customer }, index) => {
      if (customer && pattern.includes('**'))
        report(['apps', index, 'path'], 'must not hold **; name the depth at which customers have their files');
    });
    const settings = written && resolveSettings(written.value, dirname(this.#main), this.#env, report);
    const listing = this.#list(entries);
    if (!settings || problems.length > 0)
      throw new ConfigError(
        bounded([...problems, ...listing.files.flatMap(({ source: { problems: found } }) => found)]),
      );
    const resolved = this.#resolve(settings, written, listing);
    const files = new Map(listing.files.map((it) => [it.file, it]));
    return { ...resolved, main: { ...written, source }, files };
  }

  /** Reads the changed files alone, if they make the same claims as before; undefined: all files have to be read. */
  #rereadAlike({ files, isDisputed }: Last, changed: readonly string[]): ReadFile[] | undefined {
    if (isDisputed) return undefined;
    const reread: ReadFile[] = [];
    for (const file of changed) {
      const before = files.get(file);
      const source = before && !isLink(file) ? this.#readFile(file, before.entry) : undefined;
      if (!before || !source || !this.#isAlike(before.source, source)) return undefined;
      if (source !== before.source) reread.push({ ...before, source });
    }
    return reread;
  }

  /** Whether both are sound and claim the same names and domains. */
  #isAlike(before: Source, now: Source): boolean {
    if (before === now) return true;
    const claims = ({ documents }: Source) =>
      JSON.stringify(documents.map((it) => [(it.value as AppFile).name, this.#domainsOf(it)]));
    return before.problems.length + now.problems.length === 0 && claims(before) === claims(now);
  }

  /** The last reading with these files replaced; undefined if they have a problem or notice, or had one. */
  #resolveAlike(last: Last, files: readonly ReadFile[]): Last | undefined {
    const { settings } = last.reading;
    const changed: FileApp[] = [];
    for (const { file, entry, source } of files) {
      const before = last.files.get(file)!.source.documents;
      for (const [index, document] of source.documents.entries()) {
        const earlier = this.#resolved.get(before[index]!);
        const resolution = this.#resolution({ document, file, entry }, last.main.value);
        const { app, notices } = resolution;
        if (!app || !earlier?.app || earlier.notices.length + notices.length > 0) return undefined;
        this.#resolved.set(document, resolution);
        changed.push({ app, file, byCustomer: entry.customer !== undefined });
      }
    }
    if (sharedAdminFault(settings, changed) !== undefined) return undefined;
    for (const it of files) {
      for (const document of last.files.get(it.file)!.source.documents) this.#resolved.delete(document);
      last.files.set(it.file, it);
    }
    const news = changed.filter(({ app }) => app !== this.#apps.get(app.name)?.app);
    for (const it of news) this.#apps.set(it.app.name, it);
    const reading = { ...last.reading, apps: [...this.#apps.values()], changed: news, removed: [] };
    return { ...last, reading };
  }

  #list(entries: readonly Entry[]): Listing {
    const files = new Map<string, ReadFile>();
    const [unlisted, links, directories]: [Unlisted[], string[], string[]] = [[], [], []];
    const misspelt = new Set<string>();
    const looked: Looked[] = [];
    for (const entry of entries) {
      const found = entry.glob.find(entry.customer && { followLinks: false, mostEntries: 1_000 });
      unlisted.push(...found.unlisted);
      if (!entry.customer) links.push(...found.links);
      const { roots } = entry.glob;
      directories.push(...roots, ...found.directories);
      for (const file of found.misspelt) misspelt.add(file);
      looked.push({ pattern: entry.pattern, directories: roots, count: found.files.length });
      for (const file of found.files) {
        if (file === this.#main || files.has(file)) continue;
        const source = this.#readFile(file, entry);
        if (source) files.set(file, { file, entry, source });
      }
    }
    for (const reader of [this.#readers.operator, this.#readers.customer]) reader.keep(files);
    const sorted = [...files.values()].toSorted((a, b) => (a.file < b.file ? -1 : 1));
    const patterns = entries.map(({ pattern }) => resolve(dirname(this.#main), pattern));
    const places = { links: [this.#main, ...links], directories: [dirname(this.#main), ...directories], patterns };
    const unread = [...misspelt].filter((file) => !files.has(file) && file !== this.#main);
    const notices = [...looked.map(unmatchedNotice), unreadNotice(unread)].filter((notice) => notice !== undefined);
    const found = placesOf(places);
    if (!this.#places || JSON.stringify(found) !== JSON.stringify(this.#places)) this.#places = found;
    return { files: sorted, unlisted, notices, places: this.#places };
  }

  #readFile(file: string, { customer, glob: { roots } }: Entry): Source | undefined {
    if (!customer) return this.#readers.operator.read(file);
    const root = roots.find((directory) => file.startsWith(join(directory, '/')));
    return this.#readers.customer.read(file, root ?? dirname(file));
  }

  #resolve(
    settings: Settings,
    main: MainDocument,
    { files, unlisted, notices, places }: Listing,
  ): Pick<Last, 'reading' | 'isDisputed'> {
    const fileOf = (this.#fileOf ??= filesOfManifest(settings));
    const problems = unlisted.map(({ directory, fault }) =>
      problemAt(showFile(this.#main), 1, 'apps', `${showFile(directory)} cannot be listed: ${fault}`),
    );
    const broken = new Set<string>();
    const complain = (file: string, found: readonly Problem[]) => {
      if (found.length > 0) broken.add(file);
      problems.push(...found);
    };
    for (const { file, source } of files) {
      complain(file, source.problems);
      if (source.empty)
        complain(file, [problemAt(showFile(file), 1, '', 'is empty; an app needs name, domains and runtime')]);
    }
    const isBroken = (file: string) =>
      broken.has(file) || unlisted.some(({ directory }) => file.startsWith(join(directory, '/')));
    const claimants = files.flatMap(({ file, entry, source }) =>
      source.documents.map((document) => ({
        ...{ file, document, entry, domains: this.#domainsOf(document) },
        byCustomer: entry.customer !== undefined,
      })),
    );
    const twins = findTwins(claimants, { fileOf, ownerOf: this.#ownerOf, isBroken });
    const apps: FileApp[] = [];
    const changed: FileApp[] = [];
    const said: string[] = [];
    const emptied = new Set<string>();
    const gone = new Set(this.#apps.keys());
    for (const { claimant, app, found, notices: own } of this.#resolveAll(claimants, main.value, twins)) {
      const { file, byCustomer } = claimant;
      complain(file, found);
      if (app === 'emptied') emptied.add((claimant.document.value as AppFile).name);
      else if (app) {
        const before = this.#apps.get(app.name);
        const isSame = before?.app === app && before.file === file && before.byCustomer === byCustomer;
        const it = isSame ? before : { app, file, byCustomer };
        apps.push(it);
        if (!isSame) changed.push(it);
        gone.delete(app.name);
        said.push(...own);
      }
    }
    const fault = sharedAdminFault(settings, apps);
    if (fault !== undefined) {
      const refused: Problem[] = [];
      reporter(main.document, refused)(['admin', 'token'], fault);
      throw new ConfigError(bounded([...refused, ...problems]));
    }
    this.#apps.clear();
    for (const it of apps) this.#apps.set(it.app.name, it);
    this.#ownerOf = twins.ownerOf;
    const stays = ([name, file]: readonly [string, string]) =>
      !this.#apps.has(name) && !emptied.has(name) && isBroken(file);
    const held = [...fileOf].filter(stays);
    this.#fileOf = new Map([...held, ...apps.map(({ app, file }) => [app.name, file] as const)]);
    const reading = {
      ...{ settings, apps, changed, removed: [...gone], places },
      held: held.map(([name, file]) => ({ name, file })),
      problems: bounded(problems),
      notices: boundedNotices([...notices, ...said]),
    };
    return { reading, isDisputed: twins.refused.size + twins.taken.size > 0 };
  }

  *#resolveAll(claimants: readonly (Claimant & { entry: Entry })[], main: MainFile, twins: Twins): Generator<Outcome> {
    const { plans = {} } = main;
    const defaults = defaultsOf(main);
    const context = JSON.stringify([plans, defaults, main.apps]);
    const known = context === this.#context ? this.#resolved : new Map<SourceDocument, Resolution>();
    this.#context = context;
    this.#resolved = new Map();
    for (const claimant of claimants) {
      const { document } = claimant;
      const found: Problem[] = [];
      const report = reporter(document, found);
      const refusals = twins.refused.get(claimant) ?? [];
      const taken = twins.taken.get(claimant) ?? [];
      for (const { path, message } of [...refusals, ...taken]) report(path, message);
      const lost = new Set(taken.map(({ domain }) => domain));
      const written = document.value as AppFile;
      const left = lost.size === 0 ? undefined : [written.domains].flat().filter((text) => !lost.has(normalised(text)));
      const before = known.get(document);
      const resolution = before && before.key === left?.join(' ') ? before : this.#resolution(claimant, main, left);
      this.#resolved.set(document, resolution);
      const all = [...found, ...resolution.problems];
      const app = refusals.length > 0 ? undefined : left?.length === 0 ? 'emptied' : resolution.app;
      yield { claimant, found: all, app, notices: resolution.notices };
    }
  }

  /** `left`: the domains that no operator's file took; absent: all. */
  #resolution(
    { document, file, entry }: Pick<Claimant, 'document' | 'file'> & { entry: Entry },
    main: MainFile,
    left?: readonly string[],
  ): Resolution {
    const { plans = {} } = main;
    const defaults = defaultsOf(main);
    const problems: Problem[] = [];
    const customer = entry.customer && { terms: entry.customer, directory: dirname(file) };
    const written = document.value as AppFile;
    const value = left ? { ...written, domains: [...left] } : written;
    const report = reporter(document, problems);
    const app = left?.length === 0 ? undefined : resolveApp(value, { plans, defaults, customer }, report);
    return {
      key: left?.join(' '),
      app: app && this.#sameAsBefore(app),
      problems,
      notices: app ? figureNotices(app) : [],
    };
  }

  #domainsOf(document: SourceDocument): readonly string[] {
    const known = this.#domains.get(document);
    if (known) return known;
    const domains = normalisedDomains(document.value as AppFile);
    this.#domains.set(document, domains);
    return domains;
  }

  #sameAsBefore(app: App): App {
    const before = this.#apps.get(app.name)?.app;
    return before && JSON.stringify(before) === JSON.stringify(app) ? before : app;
  }
}

/** One entry of `apps`. */
interface Entry {
  readonly pattern: string;
  readonly glob: Glob;
  readonly customer?: CustomerTerms;
}

interface MainDocument {
  readonly value: MainFile;
  readonly document: SourceDocument;
}

interface ReadFile {
  readonly file: string;
  readonly entry: Entry;
  readonly source: Source;
}

interface Listing {
  readonly files: readonly ReadFile[];
  readonly unlisted: readonly Unlisted[];
  readonly notices: readonly string[];
  readonly places: Reading['places'];
}

interface Resolution {
  /** Which domains were left to the app; undefined: all. */
  readonly key: string | undefined;
  readonly app: App | undefined;
  readonly problems: readonly Problem[];
  /** See figureNotices. */
  readonly notices: readonly string[];
}

/** A reading, and what it was made of. */
interface Last {
  readonly main: MainDocument & { readonly source: Source | undefined };
  readonly reading: Reading;
  readonly files: Map<string, ReadFile>;
  /** Several files claim the same name or domain. */
  readonly isDisputed: boolean;
}

interface Outcome extends Pick<Resolution, 'notices'> {
  readonly claimant: Claimant;
  readonly found: readonly Problem[];
  /** Emptied: operators' files took all its domains. */
  readonly app: App | 'emptied' | undefined;
}

function mainDocument(file: string, source: Source | undefined, problems: Problem[]): MainDocument | undefined {
  const fail = (message: string) => void problems.push(problemAt(showFile(file), 1, '', message));
  if (!source) return fail('does not exist; name the main file with --config FILE');
  problems.push(...source.problems);
  const [document, second] = source.documents;
  if (source.empty) return fail('is empty; it needs at least one key, such as cmdb: lmdb:./data/cmdb');
  if (second) return fail('holds several documents; the main file is one, only app files may be divided by ---');
  return document && { value: document.value as MainFile, document };
}

/** Reads also the `apps` of a main file with other faults, so that the problems of its app files are reported at once. */
function entriesOf(main: unknown, file: string): Entry[] {
  if (typeof main !== 'object' || main === null) return [];
  const { apps = mainSchema.properties.apps.default } = main as { apps?: unknown };
  return [apps].flat().flatMap((entry: unknown) => {
    const globOf = (pattern: string) => glob([pattern], dirname(file));
    if (typeof entry === 'string') return [{ pattern: entry, glob: globOf(entry) }];
    const { path, domains = [], plan, images = [] } = (entry ?? {}) as Partial<Record<string, unknown>>;
    if (typeof path !== 'string') return [];
    const customer = {
      domains: texts(domains).map(normalised),
      images: texts(images),
      ...(typeof plan === 'string' && { plan }),
    };
    return [{ pattern: path, glob: globOf(path), customer }];
  });
}

/** Without a token, everything that can connect may use the admin API: no app may share the loopback with it. */
function sharedAdminFault({ admin, runtimes }: Settings, apps: readonly FileApp[]): string | undefined {
  const hasToken = admin.token !== undefined || admin.tokens.length > 0;
  if ('path' in admin.listen || hasToken || !isLoopback(admin.listen)) return undefined;
  const onHostNetwork = runtimes.docker.network === 'host' ? ['docker'] : [];
  const sharing = apps.find(({ app: { runtime } }) => ['process', ...onHostNetwork].includes(runtime));
  if (!sharing) return undefined;
  const at = formatListenAddress(admin.listen);
  return `is required: app ${sharing.app.name} can connect to ${at}, like every app of this machine that has its network; set it, or leave admin.listen to its socket`;
}

function texts(value: unknown): string[] {
  return [value].flat().filter((item) => typeof item === 'string');
}

function normalised(domain: string): string {
  return readDomain(domain).value ?? domain;
}

function filesOfManifest({ stateDir }: Settings): Map<string, string> {
  try {
    const { apps } = new ManifestFile(stateDir).read();
    return new Map([...apps].map(([name, { file }]) => [name, file]));
  } catch {
    // Reported where apps are applied.
    return new Map();
  }
}

function reporter(document: SourceDocument, problems: Problem[]): (path: Path, message: string) => void {
  return (path, message) => {
    problems.push(problemAt(document.file, document.lineOf(path), formatPath(path), message));
  };
}

function boundedNotices(notices: readonly string[]): string[] {
  if (notices.length <= mostNotices) return [...notices];
  const shown = notices.slice(0, mostNotices - 1);
  return [...shown, `and ${notices.length - shown.length} more like these`];
}

function bounded(problems: readonly Problem[]): Problem[] {
  if (problems.length <= mostProblems) return [...problems];
  const shown = problems.slice(0, mostProblems - 1);
  const { file } = problems[mostProblems - 1]!;
  return [
    ...shown,
    problemAt(file, 1, '', `and ${problems.length - shown.length} more problems, here and in other files`),
  ];
}

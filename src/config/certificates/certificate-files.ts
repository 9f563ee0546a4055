import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { CertificateSource, FoundCertificate } from '../../model/certificate.js';
import { Lru } from '../../model/lru.js';
import { glob } from '../glob.js';
import { placesOf } from '../reader/places.js';
import { isLink } from '../reader/read-text.js';
import { watchFiles } from '../watch-files.js';
import {
  certificatesBeside,
  hostHint,
  isKeyFile,
  keyBeside,
  type LoadedPair,
  readNames,
  readPair,
  stampOf,
} from './certificate-file.js';

export interface CertificateFilesOptions {
  /** Absolute patterns. */
  readonly patterns: readonly string[];
  /** The file for clients that name no host. */
  readonly fallback?: string;
}

/** What is known of the files. */
export interface CertificateState {
  readonly files: number;
  /** Whether every file has been looked at since the start. */
  readonly isComplete: boolean;
  readonly problems: number;
  /** The first of them, in words. */
  readonly problem?: string;
}

interface Told {
  /** Certificates may be others than before: what was found is to be asked for again. */
  readonly onChanged: () => void;
  readonly onState: (state: CertificateState) => void;
  /** A file cannot be used, or no longer; what it held before stays in use. */
  readonly onProblem: (file: string, fault: string) => void;
  /** Files cannot be watched. */
  readonly onError: (error: Error) => void;
}

interface Entry {
  readonly path: string;
  readonly number: number;
  /** Counts the sound contents of the file; 0: none yet. */
  version: number;
  stamp: number | undefined;
  /** Separated by spaces: one string takes a third of the memory of a list. */
  names: string;
}

/** Pairs that are kept in memory: what a file held last, should it become unusable. */
const mostKept = 2_000;
/** Certificates of one name that are looked at. */
const mostOfName = 8;
/** Files looked at before questions are answered again. */
const inTurn = 20;
const quietMs = 200;
const longestWaitMs = 2_000;
/** Changes that no event told are noticed after this long at most. */
const rescanMs = 10 * 60_000;

/**
 * Certificates of a folder, by host name. Looks at each file once, in the background; until it has, a name is looked for in files
 * that are named after it, and otherwise waits. Blocks while it looks at a file: run it in a thread.
 */
export class CertificateFiles implements CertificateSource {
  readonly #patterns: readonly string[];
  readonly #fallback: string | undefined;
  readonly #told: Told;
  readonly #entries = new Map<string, Entry>();
  /** By a number that stands for the name: there are several names to a file, and no others to keep. */
  readonly #byName = new Map<number, Entry | Entry[]>();
  /** Files that were not looked at yet, by the host that their name tells. */
  #hinted: Map<string, Entry[]> | undefined;
  readonly #problems = new Map<string, string>();
  /** Directories that could not be listed, and why. */
  #unlisted: ReadonlyMap<string, string> = new Map();
  readonly #kept = new Lru<number, { readonly version: number; readonly pair: LoadedPair }>(mostKept);
  readonly #watch: ReturnType<typeof watchFiles>;
  readonly #complete: Promise<void>;
  #isComplete = false;
  #work: Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #changedAt: number | undefined;
  readonly #rescan: NodeJS.Timeout;
  #count = 0;
  /** Makes ids others than those of a thread before. */
  readonly #life = randomBytes(6).toString('base64url');

  /** Begins to look at the files. */
  constructor({ patterns, fallback }: CertificateFilesOptions, told: Told) {
    this.#patterns = patterns;
    this.#fallback = fallback;
    this.#told = told;
    this.#watch = watchFiles(() => this.#lookSoon(), told.onError);
    this.#work = this.#complete = this.#lookAtAll().then(() => {
      this.#isComplete = true;
      this.#hinted = undefined;
      // What was found before may have been second best.
      this.#tell(true);
    });
    this.#rescan = setInterval(() => this.#enqueue(undefined), rescanMs);
  }

  async find(name: string, have?: string): Promise<FoundCertificate | undefined> {
    let entries = this.#entriesOf(name);
    if (!this.#isComplete && (entries.length === 0 || name === '')) {
      this.#lookAhead(name);
      entries = this.#entriesOf(name);
      if (entries.length === 0 && name !== '') {
        await this.#complete;
        entries = this.#entriesOf(name);
      }
    }
    for (const some of [entries, name === '' ? [] : this.#entriesOf(wildcardOf(name))]) {
      const among = `${this.#life} ${some.map(({ number, version }) => `${number}.${version}`).join()}`;
      if (some.length === 1 && among === have) return { id: among };
      const pair = best(some.flatMap((entry) => this.#load(entry) ?? []));
      if (!pair) continue;
      // Which of several is the best one changes with time.
      const id = some.length === 1 ? among : `${among} ${pair.kind} ${pair.notBefore} ${pair.notAfter}`;
      return id === have ? { id } : { id, pair: { cert: pair.cert, key: pair.key } };
    }
    return undefined;
  }

  close(): void {
    clearInterval(this.#rescan);
    clearTimeout(this.#timer);
    this.#watch.close();
  }

  /** Those for the name itself, else those of the wildcard above it. */
  #entriesOf(name: string): Entry[] {
    if (name === '') return [this.#entries.get(this.#fallback ?? '') ?? []].flat();
    const exact = this.#namedBy(name);
    return (exact.length > 0 ? exact : this.#namedBy(wildcardOf(name))).slice(0, mostOfName);
  }

  #namedBy(name: string): Entry[] {
    return [this.#byName.get(numberOf(name)) ?? []].flat().filter(({ names }) => names.split(' ').includes(name));
  }

  /** Undefined if the file cannot be used; then what it held before is, if that is still in memory. */
  #load(entry: Entry): LoadedPair | undefined {
    const { path, number, version } = entry;
    const kept = this.#kept.get(number);
    // What was found broken is not read again before it changes.
    if (kept?.version === version || this.#problems.has(path)) return kept?.pair;
    const read = readPair(path);
    if ('fault' in read) {
      this.#fails(path, read.fault);
      this.#tell(false);
      return kept?.pair;
    }
    this.#kept.set(number, { version, pair: read.pair });
    return read.pair;
  }

  /** Looks now at files that are named after the host or the domain above it. */
  #lookAhead(name: string): void {
    const fallback = name === '' ? this.#entries.get(this.#fallback ?? '') : undefined;
    if (fallback) return this.#look(fallback);
    const hinted = (this.#hinted ??= byHint(this.#entries.values()));
    for (const hint of [name, wildcardOf(name).slice(2)]) {
      for (const entry of hinted.get(hint) ?? []) this.#look(entry);
      hinted.delete(hint);
    }
  }

  async #lookAtAll(): Promise<void> {
    const ours = glob(this.#patterns, '/');
    const all = ours.find();
    const fallback = this.#fallback === undefined ? [] : [this.#fallback];
    const files = new Set([...fallback, ...all.files.filter((file) => !isKeyFile(file))]);
    const isEmptied = all.files.length === 0 && this.#entries.size > fallback.length;
    const unlisted = new Map(all.unlisted.map(({ directory, fault }) => [directory, `cannot be listed: ${fault}`]));
    if (isEmptied) unlisted.set(this.#patterns.join(', '), 'matches no file now; what was there stays in use');
    for (const place of this.#unlisted.keys()) if (!unlisted.has(place)) this.#problems.delete(place);
    this.#unlisted = unlisted;
    for (const [place, fault] of unlisted) this.#fails(place, fault);
    // A folder that is not mounted looks like one whose files were deleted.
    for (const file of this.#entries.keys())
      if (!isEmptied && !files.has(file) && !unlisted.has(dirname(file))) this.#remove(file);
    const entries = [...files].map((file) => this.#entryOf(file));
    const links = [...all.links, ...fallback.filter(isLink)];
    const directories = [...all.directories, ...ours.roots, ...fallback.map((file) => dirname(file))];
    const patterns = [...this.#patterns, ...fallback].flatMap(withKeys);
    this.#watch.follow({ file: '', places: placesOf({ links, directories, patterns }) });
    await turn();
    let count = 0;
    for (const entry of entries) {
      this.#look(entry);
      if ((count += 1) % inTurn === 0) await turn();
    }
  }

  #entryOf(path: string): Entry {
    const known = this.#entries.get(path);
    if (known) return known;
    const entry: Entry = { path, number: (this.#count += 1), version: 0, stamp: undefined, names: '' };
    this.#entries.set(path, entry);
    return entry;
  }

  /** Takes in what has changed of a file since it was looked at last. */
  #look(entry: Entry): void {
    const { path } = entry;
    const stamp = stampOf(path);
    if (stamp === undefined) {
      if (path !== this.#fallback) return this.#remove(path);
      return this.#fails(path, 'is not there');
    }
    if (stamp === entry.stamp) return;
    entry.stamp = stamp;
    const names = readNames(path);
    // The clients that get it expect no name of it.
    const isFallback = path === this.#fallback;
    // At the start only what is asked for is read whole; what changes later is known before it is needed.
    const pair = this.#isComplete || isFallback ? readPair(path) : undefined;
    const fault =
      (pair && 'fault' in pair ? pair.fault : undefined) ?? ('fault' in names && !isFallback ? names.fault : undefined);
    if (fault !== undefined) return this.#fails(path, fault);
    this.#problems.delete(path);
    entry.version += 1;
    this.#rename(entry, 'names' in names ? names.names : []);
  }

  #remove(path: string): void {
    const entry = this.#entries.get(path);
    if (!entry) return;
    this.#rename(entry, []);
    this.#entries.delete(path);
    this.#kept.delete(entry.number);
    this.#problems.delete(path);
  }

  #rename(entry: Entry, names: readonly string[]): void {
    for (const number of new Set(entry.names.split(' ').map(numberOf))) {
      const others = [this.#byName.get(number) ?? []].flat().filter((other) => other !== entry);
      if (others.length === 0) this.#byName.delete(number);
      else this.#byName.set(number, others);
    }
    entry.names = names.join(' ');
    for (const number of new Set(names.map(numberOf))) {
      const others = this.#byName.get(number);
      this.#byName.set(number, others === undefined ? entry : [others, entry].flat());
    }
  }

  #fails(path: string, fault: string): void {
    if (this.#problems.get(path) === fault) return;
    this.#problems.set(path, fault);
    this.#told.onProblem(path, fault);
  }

  #lookSoon(): void {
    const now = performance.now();
    this.#changedAt ??= now;
    clearTimeout(this.#timer);
    const waitMs = Math.max(0, Math.min(quietMs, this.#changedAt + longestWaitMs - now));
    this.#timer = setTimeout(() => {
      this.#changedAt = undefined;
      this.#enqueue(this.#watch.changed());
    }, waitMs);
  }

  /** Files that changed; undefined: any may have. */
  #enqueue(changed: readonly string[] | undefined): void {
    this.#work = this.#work
      .then(() => (changed === undefined ? this.#lookAtAll() : this.#lookAt(changed)))
      .then(() => this.#tell(true))
      .catch((error: Error) => this.#told.onError(error));
  }

  #lookAt(changed: readonly string[]): Promise<void> | void {
    // What a link leads to has changed: which one it is, only looking at all tells.
    const ours = glob([...this.#patterns, ...(this.#fallback === undefined ? [] : [this.#fallback])], '/');
    const files = new Set<string>();
    for (const path of changed) {
      const beside = certificatesBeside(path).filter((file) => this.#entries.has(file));
      if (beside.length > 0) for (const file of beside) files.add(file);
      else if (!isKeyFile(path) && ours.matches(path)) files.add(path);
      else if (!isKeyFile(path)) return this.#lookAtAll();
    }
    for (const file of files) this.#look(this.#entryOf(file));
  }

  #tell(isChange: boolean): void {
    const [first] = this.#problems;
    this.#told.onState({
      files: this.#entries.size,
      isComplete: this.#isComplete,
      problems: this.#problems.size,
      ...(first && { problem: first.join(' ') }),
    });
    if (isChange) this.#told.onChanged();
  }
}

/** The same for the same name, and most likely for no other; small, so that a map of them is small. Source: FNV-1a. */
function numberOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  return hash & 0x3fffffff;
}

/** Files that were not looked at yet, by the host that their name tells. */
function byHint(entries: Iterable<Entry>): Map<string, Entry[]> {
  const hinted = new Map<string, Entry[]>();
  for (const entry of entries) {
    if (entry.stamp !== undefined) continue;
    const hint = hostHint(entry.path);
    const others = hinted.get(hint);
    if (others) others.push(entry);
    else hinted.set(hint, [entry]);
  }
  return hinted;
}

/** `*.example.com` for `www.example.com`. */
function wildcardOf(name: string): string {
  return `*${name.slice(name.includes('.') ? name.indexOf('.') : name.length)}`;
}

/** A pattern, and the ones of keys beside what it matches. */
function withKeys(pattern: string): string[] {
  const key = keyBeside(pattern.replace(/\.\{[^{}/]*\}$/, '.pem'));
  return key === undefined ? [pattern] : [pattern, key];
}

/** Kinds of key, the one that costs least first; what is not among them, browsers do not know. */
const kinds = ['ec', 'rsa'];

/** Of several pairs for one name one that is valid now, of the best kind of key, and of those the one that is valid longest. */
function best(pairs: readonly LoadedPair[]): LoadedPair | undefined {
  const now = Date.now();
  const isValid = ({ notBefore, notAfter }: LoadedPair) => notBefore <= now && now < notAfter;
  const kindOf = ({ kind }: LoadedPair) => (kinds.includes(kind) ? kinds.indexOf(kind) : kinds.length);
  return pairs.toSorted(
    (a, b) => Number(isValid(b)) - Number(isValid(a)) || kindOf(a) - kindOf(b) || b.notAfter - a.notAfter,
  )[0];
}

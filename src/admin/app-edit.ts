import { isDeepStrictEqual } from 'node:util';
import type { AppEdit, AppRecord, FoundApp } from '../cmdb/cmdb.js';
import { type DocumentFault, readAppDocument } from '../config/app-document.js';
import { showFile } from '../config/path.js';
import type { AppSources } from '../config/resolve-app.js';
import { recordOf, writtenOf } from '../model/app.js';
import { readDomain } from '../model/domain.js';
import { isMapping } from '../model/schema/shape.js';
import { ApiError, unknownApp } from './api-error.js';
import { type Caller, knows } from './caller.js';
import { checkPreconditions, etagOf, type Preconditions } from './etag.js';
import { mergePatch } from './merge-patch.js';

/** What an edit of an app depends on beside its record. */
export interface EditTerms {
  readonly name: string;
  readonly caller: Caller;
  readonly preconditions: Preconditions;
  readonly sources: Pick<AppSources, 'plans' | 'defaults'>;
  /** File of this machine that has the app. */
  readonly file: string | undefined;
  /** Name of this machine. */
  readonly host: string;
  readonly now: number;
}

type Put = Exclude<AppEdit, 'remove'>;

/** Puts this document in the place of the app, or makes the app. Throws an ApiError. */
export function putEdit(document: unknown, terms: EditTerms): (before: FoundApp) => Put {
  const read = readDocument(document, terms);
  return (found) => {
    const before = editable(found, terms);
    checkPreconditions(terms.preconditions, before && etagOf(before));
    return putOver(before, read, terms);
  };
}

/** Puts the app with a merge patch applied to what was written of it. Throws an ApiError. */
export function patchEdit(patch: unknown, terms: EditTerms): (before: FoundApp) => Put {
  if (!isMapping(patch)) throw new ApiError('bad_request', 'The body must be an object: a merge patch.');
  return changeEdit((written) => mergePatch(written, patch), terms);
}

/** Adds a domain to the app, or takes it away. Throws an ApiError. */
export function domainEdit(domain: string, isWanted: boolean, terms: EditTerms): (before: FoundApp) => Put {
  const read = readDomain(domain);
  if (read.fault !== undefined && isWanted) throw new ApiError('bad_request', `The domain ${read.fault}.`);
  return changeEdit((written, { app }) => {
    const has = read.value !== undefined && app.domains.includes(read.value);
    if (!has && !isWanted) throw new ApiError('unknown_domain', `App ${app.name} has no domain ${domain}.`);
    if (has === isWanted) return written;
    const all = [written['domains']].flat();
    return {
      ...written,
      domains: isWanted ? [...all, domain] : all.filter((_, index) => app.domains[index] !== read.value),
    };
  }, terms);
}

/** Puts the app as `change` makes it of what was written of it. */
function changeEdit(
  change: (written: Readonly<Record<string, unknown>>, before: AppRecord) => unknown,
  terms: EditTerms,
): (before: FoundApp) => Put {
  return (found) => {
    const before = there(found, terms);
    checkPreconditions(terms.preconditions, etagOf(before));
    const written = before.origin?.api?.written ?? { ...writtenOf(before.app) };
    return putOver(before, readDocument(change(written, before), terms), terms);
  };
}

/** Removes the app. Throws an ApiError. */
export function removeEdit(terms: EditTerms): (before: FoundApp) => 'remove' {
  const { caller, preconditions } = terms;
  return (found) => {
    const isLost = found === 'unreadable' && caller.labels === undefined && preconditions.ifMatch === undefined;
    if (!isLost) checkPreconditions(preconditions, etagOf(there(found, terms)));
    return 'remove';
  };
}

type Read = Omit<Exclude<Put, 'keep'>, 'origin'> & { readonly written: Readonly<Record<string, unknown>> };

function readDocument(document: unknown, { name, sources, caller }: EditTerms): Read {
  const named = isMapping(document) ? { name, ...document } : document;
  const invalid = (problems: readonly DocumentFault[]) =>
    new ApiError('invalid_app', `App ${name} is not valid: ${problems.map(sentence).join('; ')}`, { problems });
  if (isMapping(named) && named['name'] !== name)
    throw invalid([{ path: 'name', message: `must be ${name}, the name in the address, or be left out` }]);
  const { terms } = caller;
  if (!terms) {
    const read = readAppDocument(named, sources);
    if (read.faults) throw invalid(read.faults);
    return { app: read.app, written: { ...read.written } };
  }
  const read = readAppDocument(withoutGiven(named, caller), { ...sources, customer: { terms } });
  if (read.faults) throw invalid(read.faults);
  const { plan } = terms;
  const labels = { ...caller.labels };
  const app = { ...read.app, labels: { ...read.app.labels, ...labels } };
  // What an operator would write for the same: a later edit of theirs must not lift the bounds.
  return { app, written: { ...asIn(writtenOf(app), read.written), ...(plan !== undefined && { plan }), labels } };
}

/** The document of a customer without what the token says, if it says the same: an answer can be sent back as it is. */
function withoutGiven(document: unknown, { terms, labels }: Caller): unknown {
  if (!isMapping(document)) return document;
  const { plan, labels: given, ...rest } = document;
  return {
    ...rest,
    ...(plan !== undefined && plan !== terms?.plan && { plan }),
    ...(given !== undefined && !isDeepStrictEqual(given, labels) && { labels: given }),
  };
}

/** Of `whole`, the keys that `part` has. */
function asIn(whole: unknown, part: object): Record<string, unknown> {
  const values = whole as Readonly<Record<string, unknown>>;
  const entries = Object.entries(part).map(([key, value]: [string, unknown]) => {
    const own = values[key];
    return [key, isMapping(value) && isMapping(own) ? asIn(own, value) : own] as const;
  });
  return Object.fromEntries(entries);
}

function sentence({ path, message }: { readonly path: string; readonly message: string }): string {
  return path === '' ? message : `${path} ${message}`;
}

function putOver(before: AppRecord | undefined, { app, written }: Read, { caller, host, now }: EditTerms): Put {
  const isSame =
    before?.origin?.api !== undefined &&
    JSON.stringify([recordOf(app), written]) === JSON.stringify([recordOf(before.app), before.origin.api.written]);
  return isSame ? 'keep' : { app, origin: { host, since: now, api: { by: caller.name, written } } };
}

/** The app, if there is one that the caller may edit. */
function there(found: FoundApp, terms: EditTerms): AppRecord {
  const before = found === undefined || isHidden(found, terms.caller) ? undefined : editable(found, terms);
  if (!before) throw unknownApp(terms.name);
  return before;
}

function isHidden(found: FoundApp, caller: Caller): boolean {
  return found === 'unreadable' ? caller.labels !== undefined : found !== undefined && !knows(caller, found.app);
}

/** The app that may be edited; undefined if there is none, so that one may be put. */
function editable(found: FoundApp, { name, caller, file, host }: EditTerms): AppRecord | undefined {
  if (isHidden(found, caller)) throw new ApiError('name_taken', `The name ${name} belongs to another app.`);
  if (found === 'unreadable') throw new ApiError('app_unreadable', `The record of app ${name} cannot be read.`);
  const before = found?.removed === false ? found : undefined;
  if (before?.origin?.api) return before;
  const from = before?.origin;
  if (!from && file === undefined) return before;
  const machine = from?.host ?? host;
  const path = from?.customer ?? (machine === host ? file : undefined);
  const place = path === undefined || caller.labels ? `a file of ${machine}` : `${showFile(path)} of ${machine}`;
  throw new ApiError('app_in_file', `App ${name} stands in ${place}, and only its file changes it.`);
}

import type { App } from '../app.js';
import type { Deployment } from '../deployment.js';
import { printable } from '../printable.js';
import { type Fact, type FactKind, factsOf, type Note, type WakingRequest } from './facts.js';

/** A fact as the ledger keeps it; docs/api.md has its keys. All of it is bounded, and printable. */
export interface Entry {
  readonly app: string;
  readonly kind: FactKind;
  readonly cause?: string;
  readonly instance?: string;
  /** The machine of the instance. */
  readonly host?: string;
  /** The dispatcher process that boots, uses or ends the instance. */
  readonly node?: string;
  readonly revision?: string;
  /** Milliseconds from the claim to ready. */
  readonly bootMs?: number;
  /** Since when an instance was ready that is gone now, in epoch milliseconds. */
  readonly readyAt?: number;
  readonly replaces?: string;
  readonly request?: WakingRequest;
  readonly by?: string;
  readonly message?: string;
  readonly output?: string;
  /** Those of the app at that time: they say which tokens may know of it. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** An entry with its place in the ledger. */
export interface LedgerEvent extends Entry {
  /** Grows from event to event of a store. */
  readonly id: string;
  /** Epoch milliseconds by the clock of the store. */
  readonly at: number;
}

const longestWord = 64;
const longestName = 255;
const longestPath = 200;
const longestMessage = 500;
const longestOutput = 1_000;
/** Upper bound of an entry as JSON, in bytes; one that would be longer loses what is least needed. */
export const longestEntry = 6 * 1024;

/** What a change of an app's deployment adds to the ledger. */
export function entriesOf(
  before: Deployment,
  after: Deployment,
  app: Pick<App, 'labels'> | undefined,
  note: Note = {},
): readonly Entry[] {
  return factsOf(before, after, note).map((fact) => entryOf(after.app, fact, app?.labels ?? {}, note));
}

function entryOf(app: string, fact: Fact, labels: App['labels'], note: Note): Entry {
  const { kind, instance, cause } = fact;
  const message = fact.message ?? (kind === 'exited' ? note.exit : undefined);
  const request = kind === 'booting' && isAsked(cause) ? note.request : undefined;
  const output = kind === 'exited' || kind === 'failed' ? note.output : undefined;
  const by = isOrdered(fact) ? note.by : undefined;
  const entry: Entry = {
    app,
    kind,
    ...(cause !== undefined && { cause: cause.slice(0, longestWord) }),
    ...(instance && ofInstance(kind, instance)),
    ...(request && { request: boundedRequest(request) }),
    ...(by !== undefined && { by: bounded(by, longestName) }),
    ...(message !== undefined && { message: bounded(message.replaceAll(/\s+/g, ' '), longestMessage) }),
    ...(output && { output: printable(output.slice(-longestOutput)).slice(-longestOutput) }),
    ...(Object.keys(labels).length > 0 && { labels }),
  };
  return fits(entry) ? entry : lean(entry);
}

function ofInstance(kind: FactKind, instance: NonNullable<Fact['instance']>): Partial<Entry> {
  const { id, host, revision, owner, users, bootedAt, readyAt, replaces } = instance;
  const node = owner ?? Object.keys(users)[0];
  return {
    ...{ instance: id, host, revision },
    ...(node !== undefined && { node }),
    ...(kind === 'booting' && replaces && { replaces: replaces.id }),
    ...(kind === 'ready' && readyAt !== undefined && { bootMs: readyAt - bootedAt }),
    ...(isEnd(kind) && readyAt !== undefined && { readyAt }),
  };
}

/** Kinds after which the instance is not there. */
function isEnd(kind: FactKind): boolean {
  return kind === 'ended' || kind === 'exited' || kind === 'lost';
}

function isAsked(cause: string | undefined): boolean {
  return cause === 'request' || cause === 'load';
}

function isOrdered({ kind, cause }: Fact): boolean {
  return kind === 'maintenance' || kind === 'restart' || cause === 'operator' || cause === 'stopped';
}

function boundedRequest({ host, method, path, agent, client }: WakingRequest): WakingRequest {
  return {
    host: bounded(host, longestName),
    method: bounded(method, longestWord),
    path: bounded(path, longestPath),
    agent,
    ...(client !== undefined && { client: bounded(client, longestWord) }),
  };
}

function bounded(text: string, most: number): string {
  return printable(text.length > most ? `${text.slice(0, most - 1)}…` : text);
}

/** Without what strangers make long. Without its labels it is for callers that may know of all apps. */
function lean({ output: _output, message: _message, request: _request, ...rest }: Entry): Entry {
  const { labels: _labels, ...bare } = rest;
  return fits(rest) ? rest : bare;
}

function fits(entry: Entry): boolean {
  return Buffer.byteLength(JSON.stringify(entry)) <= longestEntry;
}

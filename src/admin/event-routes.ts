import { setImmediate as turn } from 'node:timers/promises';
import type { Cmdb, LedgerPage } from '../cmdb/cmdb.js';
import { type Clock, sleep } from '../model/clock.js';
import { RequestError } from '../model/errors.js';
import type { LedgerEvent } from '../model/ledger/event.js';
import { ApiError, unknownApp } from './api-error.js';
import { type Caller, known, knows } from './caller.js';
import type { StreamMessage } from './event-stream.js';
import type { ApiAnswer, ApiRequest, Route } from './route.js';
import type { StoreChanges } from './store-changes.js';

export interface EventsSource {
  readonly cmdb: Pick<Cmdb, 'find' | 'ledger'>;
  readonly changes: StoreChanges;
  readonly clock: Clock;
}

/** What a call asks for. */
interface Wanted {
  readonly app?: string;
  readonly after?: string;
  readonly limit: number;
}

interface Page extends LedgerPage {
  /** More may follow at once. */
  readonly isFull: boolean;
}

const mostEvents = 1_000;
/** Events that a stream reads at a time: this is what it holds for a reader that is slow. */
const streamPage = 100;
/** Interval between reads while events come fast, and the longest one while none is told of. */
const gatherMs = 50;
const lookMs = 10_000;
const retryMs = 1_000;

const query: NonNullable<Route['query']> = {
  limit: {
    type: 'integer',
    minimum: 0,
    maximum: mostEvents,
    default: 100,
    description: 'Events at most; of a stream those of before it, at most 100. Without `after` the latest.',
  },
  after: { type: 'string', maxLength: 40, description: 'Only events that follow the one with this id.' },
  follow: {
    type: 'boolean',
    default: false,
    description: 'Go on with a stream of server-sent events; so does `Accept: text/event-stream`.',
  },
};

const answers: Route['answers'] = {
  200: {
    description: 'The events in their order, or a stream of them.',
    schema: {
      type: 'object',
      required: ['events', 'position', 'gap'],
      properties: {
        events: { type: 'array', items: { $ref: '#/components/schemas/Event' } },
        position: { type: 'string', description: 'What `after` is to be in the next call.' },
        gap: { type: 'boolean', description: 'Events that followed `after` have been dropped meanwhile.' },
      },
    },
    type: 'text/event-stream',
  },
};

/** The ledger: what happened to instances, and why. */
export function eventRoutes(source: EventsSource): readonly Route[] {
  const shared = { method: 'GET', scope: 'read', query, headers: ['Last-Event-ID'], answers } as const;
  return [
    {
      ...shared,
      path: '/v1/events',
      summary: 'Tells what happened to instances of all apps, and why; also as a stream.',
      errors: ['too_many_streams'],
      handle: (request) => events(request, source, wantedOf(request)),
    },
    {
      ...shared,
      path: '/v1/apps/{name}/events',
      summary: 'Tells what happened to instances of an app, and why; also as a stream.',
      errors: ['unknown_app', 'too_many_streams'],
      handle: async (request) => {
        const { name = '' } = request.params;
        const record = known(request.caller, await source.cmdb.find({ app: name }));
        if (!record || record.removed) throw unknownApp(name);
        return events(request, source, { ...wantedOf(request), app: name });
      },
    },
  ];
}

function isFollowing({ query, headers }: ApiRequest): boolean {
  return query['follow'] === true || String(headers['accept'] ?? '').includes('text/event-stream');
}

function wantedOf(request: ApiRequest): Wanted {
  const { query, headers } = request;
  const { limit: most, after } = query as { readonly limit: number; readonly after?: string };
  const limit = isFollowing(request) ? Math.min(most, streamPage) : most;
  // What a reader that comes back saw last is newer than the address that it first asked.
  const from = [headers['last-event-id']].flat()[0] ?? after;
  return { limit, ...(from !== undefined && { after: from }) };
}

async function events(request: ApiRequest, source: EventsSource, wanted: Wanted): Promise<ApiAnswer> {
  const { caller } = request;
  const isStream = isFollowing(request);
  // Before the first look, so that nothing happens between it and the wait.
  const listener = isStream ? source.changes.listen(request.signal, wanted.app) : undefined;
  const page = await read(source, caller, wanted);
  const { position, gap } = page;
  if (!listener) return { body: { events: page.events.map(eventView), position, gap } };
  return { messages: follow(page, listener, request, source, wanted) };
}

async function* follow(
  first: Page,
  listener: ReturnType<StoreChanges['listen']>,
  { caller, signal }: ApiRequest,
  source: EventsSource,
  { app, after }: Wanted,
): AsyncGenerator<StreamMessage> {
  let page = first;
  const more = { limit: streamPage, ...(app !== undefined && { app }) };
  // A reader that has seen no event yet knows what to go on from, too.
  const [oldest] = page.events;
  if (!oldest) yield { id: page.position, event: 'begin', data: {} };
  let from = after;
  let told: string | undefined;
  for (;;) {
    // Each page that follows the same place says so, as when the ledger has become empty.
    if (page.gap && from !== told) {
      yield { event: 'gap', data: { detail: 'Older events that you have not seen were dropped.' } };
      told = from;
    }
    for (const event of page.events) yield { id: event.id, data: eventView(event) };
    // An embedded store answers at once: pages of which this caller may know nothing would keep all others waiting.
    if (page.isFull) await turn();
    else {
      await listener.next(lookMs);
      await sleep(source.clock, gatherMs, signal);
    }
    from = page.position;
    page = await readOn(source, caller, { ...more, after: from }, signal);
    if (signal.aborted) return;
  }
}

/** A stream outlives an outage of the store. */
async function readOn(source: EventsSource, caller: Caller, wanted: Wanted, signal: AbortSignal): Promise<Page> {
  for (;;) {
    try {
      return await read(source, caller, wanted);
    } catch (error) {
      if (!(error instanceof RequestError) || signal.aborted) throw error;
      await sleep(source.clock, retryMs, signal);
    }
  }
}

/** Of those that the caller may know of. Those of all apps are looked for among the latest 1,000. */
async function read({ cmdb }: EventsSource, caller: Caller, wanted: Wanted): Promise<Page> {
  const { after, limit } = wanted;
  // The latest place is needed, too, if none of before it is wanted.
  const most = after === undefined ? (caller.labels ? mostEvents : Math.max(1, limit)) : limit;
  const page = await readPage(cmdb, { ...wanted, limit: most });
  const mayKnow = page.events.filter((event) => knows(caller, { labels: event.labels ?? {} }));
  const isFull = after !== undefined && page.events.length >= most;
  return { ...page, events: after === undefined ? lastOf(mayKnow, limit) : mayKnow, isFull };
}

async function readPage(cmdb: EventsSource['cmdb'], wanted: Wanted): Promise<LedgerPage> {
  if (wanted.limit === 0) return { events: [], position: wanted.after ?? '', gap: false };
  try {
    return await cmdb.ledger(wanted);
  } catch (error) {
    if (error instanceof RangeError)
      throw new ApiError('bad_request', `There is no event ${JSON.stringify((wanted.after ?? '').slice(0, 40))}.`);
    throw error;
  }
}

function lastOf<T>(items: readonly T[], most: number): readonly T[] {
  return most === 0 ? [] : items.slice(-most);
}

/** An event as the API tells it. */
export function eventView({ at, readyAt, ...event }: LedgerEvent): unknown {
  const { id, ...rest } = event;
  const ready = readyAt === undefined ? {} : { readyAt: new Date(readyAt).toISOString() };
  return { id, at: new Date(at).toISOString(), ...rest, ...ready };
}

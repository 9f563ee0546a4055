import type { Cmdb } from '../cmdb/cmdb.js';
import type { Clock } from '../model/clock.js';
import { bootCauses } from '../model/instance.js';
import { type Day, dayMs, dayOf } from '../model/usage.js';
import { ApiError } from './api-error.js';
import { hasLabel } from './app-list.js';
import { type Caller, knows } from './caller.js';
import type { ApiAnswer, ApiRequest, Route } from './route.js';
import { csvHead, csvLine, type UsageView, usageViews } from './usage-view.js';

export interface UsageSource {
  readonly cmdb: Pick<Cmdb, 'usage'>;
  readonly clock: Pick<Clock, 'now'>;
}

interface UsageQuery {
  readonly from?: Day;
  readonly to?: Day;
  readonly app?: string;
  readonly label?: readonly string[];
  readonly limit: number;
  readonly after: string;
  readonly format?: 'json' | 'csv';
}

/** Rows of a page, which ends with a whole app. */
const mostRows = 10_000;
const mostDays = 366;
/** Apps that are looked at for a page: a caller who may see few of them is led on. */
const mostLookedAt = 5_000;
const csvType = 'text/csv; charset=utf-8';

const day = (description: string) => ({
  type: 'string',
  maxLength: 10,
  pattern: '^\\d{4}-\\d{2}-\\d{2}$',
  description,
});
const count = { type: 'integer' };

const usageSchema = {
  type: 'array',
  items: {
    type: 'object',
    required: ['app', 'day', 'labels', 'runningSeconds', 'boots'],
    properties: {
      app: { type: 'string' },
      day: { type: 'string', description: 'In UTC.' },
      labels: { type: 'object', additionalProperties: { type: 'string' }, description: 'Of the app on that day.' },
      runningSeconds: { type: 'number', description: 'How long its instances ran, also those that still run.' },
      boots: {
        type: 'object',
        propertyNames: { enum: bootCauses },
        additionalProperties: count,
        description: 'Boots that became ready, by cause.',
      },
    },
  },
} as const;

export function usageRoutes(source: UsageSource): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/usage',
      scope: 'read',
      summary:
        'Tells what apps used, by app and day, also apps that are gone. A Link header with rel="next" leads to the next page, also from an empty one.',
      query: {
        from: day('The first day, in UTC; today if absent.'),
        to: day('The last day; today if absent.'),
        app: { type: 'string', maxLength: 255, description: 'Only this app.' },
        label: {
          type: 'array',
          maxItems: 20,
          items: { type: 'string', maxLength: 300 },
          description: 'Only apps with this label on that day: NAME=VALUE, or NAME. Of several, all.',
        },
        limit: { type: 'integer', minimum: 1, maximum: 1_000, default: 1_000, description: 'Apps at most.' },
        after: { type: 'string', maxLength: 255, default: '', description: 'Only apps whose names follow this one.' },
        format: { enum: ['json', 'csv'], description: 'As Accept says if absent: `text/csv` gives CSV.' },
      },
      answers: {
        200: { description: 'A row for each app and day on which it used something.', schema: usageSchema },
      },
      errors: [],
      handle: (request) => usageOf(request, source),
    },
  ];
}

async function usageOf({ caller, query, headers, signal }: ApiRequest, source: UsageSource): Promise<ApiAnswer> {
  const { cmdb, clock } = source;
  const { app, after, limit, label = [], format, ...asked } = query as unknown as UsageQuery;
  const now = clock.now();
  const { from, to } = period(asked, dayOf(now));
  const views: UsageView[] = [];
  let [lookedAt, apps] = [0, 0];
  let last: string | undefined;
  let hasMore = false;
  for await (const usage of cmdb.usage({ from, to, app, after })) {
    if (signal.aborted) break;
    const found = usageViews(usage, from, to, clock.now()).filter((view) => isAskedFor(view, label, caller));
    const isFull = apps === limit || (apps > 0 && views.length + found.length > mostRows);
    hasMore = lookedAt === mostLookedAt || (isFull && found.length > 0);
    if (hasMore) break;
    views.push(...found);
    if (found.length > 0) apps += 1;
    lookedAt += 1;
    last = usage.app;
  }
  const link: Record<string, string> =
    hasMore && last !== undefined ? { link: `<${linkTo({ ...query, from, to }, last)}>; rel="next"` } : {};
  const isCsv = format === undefined ? /\btext\/csv\b/.test(String(headers['accept'] ?? '')) : format === 'csv';
  if (!isCsv) return { body: views, headers: link };
  return { body: csvHead + views.map(csvLine).join(''), type: csvType, headers: link };
}

/** Throws `bad_request`. */
function period({ from, to }: Pick<UsageQuery, 'from' | 'to'>, today: Day): { from: Day; to: Day } {
  const last = to ?? (from !== undefined && from > today ? from : today);
  const asked = { from: from ?? last, to: last };
  for (const each of Object.values(asked)) {
    const at = Date.parse(each);
    if (Number.isNaN(at) || dayOf(at) !== each) throw new ApiError('bad_request', `${each} is not a day.`);
  }
  const days = (Date.parse(asked.to) - Date.parse(asked.from)) / dayMs + 1;
  if (days < 1) throw new ApiError('bad_request', `${asked.from} is after ${asked.to}.`);
  if (days > mostDays) throw new ApiError('bad_request', `Ask for at most ${mostDays} days at once.`);
  return asked;
}

function isAskedFor({ labels }: UsageView, wanted: readonly string[], caller: Caller): boolean {
  return knows(caller, { labels }) && wanted.every((each) => hasLabel(labels, each));
}

function linkTo(query: Readonly<Record<string, unknown>>, after: string): string {
  const pairs = Object.entries({ ...query, after }).flatMap(([key, value]) =>
    [value].flat().map((one): [string, string] => [key, one as string]),
  );
  return `/v1/usage?${new URLSearchParams(pairs).toString()}`;
}

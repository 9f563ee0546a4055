import type { Cmdb } from '../cmdb/cmdb.js';
import type { Clock } from '../model/clock.js';
import { type Activity, whyOf } from '../model/why.js';
import { unknownApp } from './api-error.js';
import { appStates, stateOf } from './app-view.js';
import { known, knows } from './caller.js';
import type { Route } from './route.js';

export interface WhySource {
  readonly cmdb: Pick<Cmdb, 'find' | 'ledger'>;
  /** What goes on at instances that this daemon uses, by instance id. */
  readonly activity: () => Promise<ReadonlyMap<string, Activity>>;
  readonly clock: Pick<Clock, 'now'>;
}

const text = { type: 'string' };

const whySchema = {
  type: 'object',
  required: ['name', 'state', 'sentence', 'keptBy', 'sleepsAt'],
  properties: {
    name: text,
    state: { enum: appStates },
    sentence: { ...text, description: 'Why it is awake or asleep, and what happens next.' },
    keptBy: {
      type: 'array',
      items: { enum: ['requests', 'connections', 'busy', 'minimum', 'other_nodes', 'idle_ttl'] },
      description: 'What keeps it awake.',
    },
    sleepsAt: {
      type: ['string', 'null'],
      description: 'When it falls asleep if nothing happens until then; null if it sleeps, or that cannot be said.',
    },
    wokenBy: { type: 'object', description: 'The request that its newest instance was booted for, as in events.' },
    failure: {
      type: 'object',
      description: 'What it came to last, if that was a failed boot, or an end by itself.',
      properties: { at: text, message: text, output: text },
    },
  },
} as const;

export function whyRoutes({ cmdb, activity, clock }: WhySource): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/apps/{name}/why',
      scope: 'read',
      summary: 'Says in one sentence why an app is awake or asleep, and what keeps it awake.',
      answers: { 200: { description: 'Why.', schema: whySchema } },
      errors: ['unknown_app'],
      handle: async ({ caller, params: { name = '' } }) => {
        const record = known(caller, await cmdb.find({ app: name }));
        if (!record) throw unknownApp(name);
        const ledger = await cmdb.ledger({ app: name, limit: 100 });
        const events = ledger.events.filter(({ labels = {} }) => knows(caller, { labels }));
        const why = whyOf({ ...record, events, activity: await activity(), now: clock.now() });
        const { sentence, keptBy, sleepsAt, wokenBy, failure } = why;
        return {
          body: {
            ...{ name, state: stateOf(record), sentence, keptBy },
            sleepsAt: sleepsAt === undefined ? null : new Date(sleepsAt).toISOString(),
            ...(wokenBy && { wokenBy }),
            ...(failure && { failure: { ...failure, at: new Date(failure.at).toISOString() } }),
          },
        };
      },
    },
  ];
}

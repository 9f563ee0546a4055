import { appFileSchema, maintenanceSchema } from '../model/app-keys.js';
import { bootCauses } from '../model/instance.js';
import { factKinds } from '../model/ledger/facts.js';
import type { Shape } from '../model/schema/shape.js';
import { appStates } from './app-view.js';
import type { JsonSchema } from './route.js';

const text = { type: 'string' };
const count = { type: 'integer' };
const time = { type: ['string', 'null'], description: 'ISO 8601.' };
const anything = { type: 'object' };
/** What JSON Schema knows of the keys of our schemas. */
const kept = [
  'type',
  'enum',
  'const',
  'pattern',
  'minimum',
  'maximum',
  'minItems',
  'maxItems',
  'required',
  'additionalProperties',
];

/** What holds for an app, and who says so. */
export const maintenanceViewSchema: JsonSchema = {
  type: 'object',
  required: ['mode', 'retryAfter', 'limit', 'source'],
  properties: {
    mode: { enum: ['off', 'page', 'hold'] },
    ...{ text, retryAfter: text, limit: text },
    source: { enum: ['app', 'operator'], description: 'Who says so: the app itself, or an operator by API.' },
    token: { ...text, description: 'Of the operator.' },
    since: text,
  },
};

/** An app as `PUT` takes it. */
export const appSchema: JsonSchema = { $ref: '#/components/schemas/App' };

/** What the answers of several routes have in common, by name. */
export const components: Readonly<Record<string, JsonSchema>> = {
  App: plain(appFileSchema as Shape),
  Maintenance: { ...plain(maintenanceSchema as Shape), required: ['mode'] },
  Problem: {
    type: 'object',
    description: 'RFC 9457.',
    required: ['type', 'title', 'status', 'code', 'detail', 'remedy'],
    properties: {
      ...{ type: text, title: text, status: count, code: text, detail: text },
      remedy: { ...text, description: 'What the caller can do.' },
      problems: {
        type: 'array',
        description: 'Of an app that is not valid: each key at fault.',
        items: { type: 'object', required: ['path', 'message'], properties: { path: text, message: text } },
      },
    },
  },
  AppSummary: {
    type: 'object',
    required: [
      'name',
      'domains',
      'labels',
      'runtime',
      'revision',
      'removed',
      'state',
      'scale',
      'instances',
      'sleepsAt',
    ],
    properties: {
      name: text,
      domains: { type: 'array', items: text },
      labels: { type: 'object', additionalProperties: text },
      runtime: text,
      revision: { ...text, description: 'Changes with everything that needs a new container.' },
      removed: { type: 'boolean', description: 'It is gone, and its last instances end.' },
      state: { enum: appStates },
      scale: anything,
      instances: { type: 'object', additionalProperties: count, description: 'How many, by state.' },
      sleepsAt: {
        ...time,
        description:
          'When the last ready instance ends if nobody uses the app until then; null while one is used or kept, and if none is ready.',
      },
      plan: { ...text, description: 'Only of apps that were put by API.' },
      pinnedTo: { ...text, description: 'The machine that has its data.' },
      breaker: anything,
      failedRevision: anything,
      maintenance: { enum: ['page', 'hold'], description: 'Absent if it is off.' },
    },
  },
  Event: {
    type: 'object',
    description: 'docs/api.md says what the kinds and causes are.',
    required: ['id', 'at', 'app', 'kind'],
    properties: {
      id: { ...text, description: 'Grows from event to event.' },
      at: { ...text, description: 'ISO 8601, by the clock of the store.' },
      app: text,
      kind: { enum: factKinds },
      ...{ cause: text, instance: text, host: text, node: text, revision: text },
      bootMs: { type: 'number' },
      readyAt: text,
      replaces: text,
      request: {
        type: 'object',
        required: ['host', 'method', 'path', 'agent'],
        properties: { host: text, method: text, path: text, agent: text, client: text },
      },
      ...{ by: text, message: text, output: text },
      labels: { type: 'object', additionalProperties: text },
    },
  },
  Instance: {
    type: 'object',
    required: [
      'id',
      'app',
      'revision',
      'state',
      'runtime',
      'host',
      'address',
      'sleepsAt',
      'cause',
      'users',
      'inflight',
    ],
    properties: {
      ...{ id: text, app: text, revision: text, state: text, runtime: text, host: text },
      address: { type: ['string', 'null'] },
      ...{ bootedAt: time, readyAt: time, expiresAt: time, lastActiveAt: time },
      sleepsAt: { ...time, description: 'When it ends if nobody uses it until then; null while it is used or kept.' },
      cause: { enum: [...bootCauses, null], description: 'Why it was booted; null if that is not known.' },
      users: { type: 'array', items: anything },
      inflight: count,
      boot: { type: 'object', description: 'Milliseconds by phase.' },
      ...{ replaces: anything, end: anything, failedRevision: anything },
    },
  },
};

const summary = components['AppSummary'] as { readonly properties: object };

const change = {
  changes: { type: 'array', items: text, description: 'What differs from before, as a reload of files logs it.' },
  dryRun: { type: 'boolean', description: 'Nothing was changed.' },
  takesEffect: {
    enum: ['now', 'soon'],
    description:
      '`now`: every process that serves has it. `soon`: those of this machine have, others follow the change log, as a rule within a second.',
  },
};

export const wholeAppSchema: JsonSchema = {
  type: 'object',
  properties: {
    ...summary.properties,
    source: { ...anything, description: 'By which file or token it came, at which machine, and when.' },
    app: {
      ...anything,
      description:
        'As it was written: what PUT takes; of an app of a file, as plan and defaults complete it. Values of `env` are null for a token that may not write.',
    },
    effective: { ...anything, description: 'With all that plan, defaults and built-ins say.' },
    ...change,
  },
};

export const removedAppSchema: JsonSchema = { type: 'object', properties: { name: text, ending: count, ...change } };

/** JSON Schema of a schema of ours, without the annotations that only this program reads. */
function plain(shape: Shape): JsonSchema {
  const { properties, patternProperties, items, anyOf, description, examples, default: byDefault } = shape;
  const own = Object.entries(shape).filter(([key, value]) => kept.includes(key) && value !== undefined);
  const each = (shapes: Readonly<Record<string, Shape>>) =>
    Object.fromEntries(Object.entries(shapes).map(([key, child]) => [key, plain(child)]));
  return {
    ...Object.fromEntries(own),
    ...(description && { description }),
    ...(byDefault !== undefined && { default: byDefault }),
    ...(examples && { examples }),
    ...(anyOf && { anyOf: anyOf.map(plain) }),
    ...(items && { items: plain(items) }),
    ...(properties && { properties: each(properties) }),
    ...(patternProperties && { patternProperties: each(patternProperties) }),
  };
}

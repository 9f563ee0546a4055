import { Type, Compile, type TSchema } from '../model/schema/typebox.js';
import { type App, appWith, recordOf } from '../model/app.js';
import { appSchema, containerSchema } from '../model/app-keys.js';
import type { AppOrigin } from './cmdb.js';
import type { Deployment } from '../model/deployment.js';
import type { InstanceState } from '../model/instance.js';
import { nameOf } from '../model/schema/parsed.js';
import type { Shape } from '../model/schema/shape.js';
import type { RecordSigner, SignedKind } from './record-signer.js';

/** Version of the records' format; records of other versions are not read. */
export const format = 1;

const positive = Type.Number({ minimum: 0 });
const epochMs = Type.Number();
const texts = Type.Array(Type.String());

const states: readonly InstanceState[] = [
  'booting',
  'ready',
  'pausing',
  'paused',
  'resuming',
  'draining',
  'terminating',
];

const instanceShape = Type.Object({
  id: Type.String({ minLength: 1 }),
  revision: Type.String(),
  state: Type.Union(states.map((state) => Type.Literal(state))),
  runtime: Type.String(),
  host: Type.String(),
  runtimeId: Type.Optional(Type.String()),
  address: Type.Optional(Type.Object({ host: Type.String(), port: positive })),
  owner: Type.Optional(Type.String()),
  askedBy: Type.Optional(Type.String()),
  deadlineAt: Type.Optional(epochMs),
  cause: Type.Optional(Type.String()),
  bootedAt: epochMs,
  startedAt: Type.Optional(epochMs),
  readyAt: Type.Optional(epochMs),
  lastActiveAt: epochMs,
  users: Type.Record(Type.String(), Type.Object({ since: epochMs, quietSince: Type.Optional(epochMs) })),
  boot: Type.Record(Type.String(), Type.Number()),
  end: Type.Optional(Type.Object({ reason: Type.String(), since: epochMs })),
  restartAt: Type.Optional(epochMs),
  unpausable: Type.Optional(Type.Literal(true)),
  replaces: Type.Optional(Type.Object({ id: Type.String(), reason: Type.String() })),
  failuresBefore: Type.Optional(positive),
});

const breakerKeys = {
  failures: positive,
  retryAt: epochMs,
  code: Type.Union([Type.Literal('boot_failed'), Type.Literal('boot_timeout')]),
  message: Type.String(),
  scaleOut: Type.Optional(Type.Boolean()),
};

const deploymentShape = Type.Object({
  app: Type.String(),
  instances: Type.Array(instanceShape),
  pinnedTo: Type.Optional(Type.Object({ host: Type.String(), sources: texts })),
  breaker: Type.Optional(Type.Object(breakerKeys)),
  lastGood: Type.Optional(
    Type.Object({ revision: Type.String(), container: Type.Optional(shapeOf(containerSchema as Shape)) }),
  ),
  failedRevision: Type.Optional(
    Type.Object({ ...breakerKeys, revision: Type.String(), replaces: Type.Optional(Type.String()) }),
  ),
  givenUp: Type.Optional(Type.Array(Type.Object({ id: Type.String(), at: epochMs }))),
  maintenance: Type.Optional(
    Type.Object({
      mode: Type.Union(['off', 'page', 'hold'].map((mode) => Type.Literal(mode))),
      text: Type.Optional(Type.String()),
      retryAfterMs: positive,
      limitMs: positive,
      by: Type.String(),
      since: epochMs,
    }),
  ),
});

const appRecord = Compile(
  Type.Object({
    v: Type.Literal(format),
    app: shapeOf(appSchema as Shape),
    removed: Type.Boolean(),
    origin: Type.Optional(
      Type.Object({
        host: Type.String(),
        since: epochMs,
        customer: Type.Optional(Type.String()),
        api: Type.Optional(Type.Object({ by: Type.String(), written: Type.Record(Type.String(), Type.Unknown()) })),
      }),
    ),
  }),
);
const deploymentRecord = Compile(
  Type.Object({ v: Type.Literal(format), version: Type.String(), deployment: deploymentShape }),
);

export interface StoredApp {
  readonly app: App;
  readonly removed: boolean;
  readonly origin?: AppOrigin;
}

export interface StoredDeployment {
  readonly version: string;
  readonly deployment: Deployment;
}

/** From which kind of origin a record holds an app. */
export type HeldAs = 'with origin' | 'of a customer' | 'by API' | 'without origin';

/** The record was not written with the key under the name at which it was found. */
export class SignatureError extends Error {}

/** Encodes records as signed JSON (record-signer.ts), and decodes them. */
export class RecordFormat {
  readonly #signer: RecordSigner;

  constructor(signer: RecordSigner) {
    this.#signer = signer;
  }

  encodeApp(stored: StoredApp): string {
    return this.#signer.sign('app', stored.app.name, appText(stored));
  }

  /** Whether a record holds exactly this app, not removed, and from which kind of origin. Parses nothing. */
  holdsApp(signed: string | undefined, app: App): HeldAs | undefined {
    if (signed === undefined) return undefined;
    const text = this.#signer.textOf(signed);
    const plain = appText({ app, removed: false });
    const isPlain = text === plain;
    if (!isPlain && !text.startsWith(`${plain.slice(0, -1)},"origin":`)) return undefined;
    if (!this.#signer.holds('app', app.name, signed)) return undefined;
    if (isPlain) return 'without origin';
    // Quotes within values are escaped, so that no other key or value of a file's origin can look like these.
    if (text.includes('"api":{', plain.length)) return 'by API';
    return text.includes('"customer":', plain.length) ? 'of a customer' : 'with origin';
  }

  encodeDeployment(name: string, { version, deployment }: StoredDeployment): string {
    return this.#signer.sign('deployment', name, JSON.stringify({ v: format, version, deployment }));
  }

  /** Decodes the app stored under a name; throws an Error that says what is wrong with it. */
  decodeApp(name: string, signed: string): StoredApp {
    const record = this.#open('app', name, signed);
    if (!appRecord.Check(record)) throw new Error(problemOf(appRecord.Errors(record), record));
    const { v: _format, app, ...rest } = record as StoredApp & { readonly v: number };
    return { app: appWith(app), ...rest };
  }

  /** Decodes the deployment stored under a name; throws an Error that says what is wrong with it. */
  decodeDeployment(name: string, signed: string): StoredDeployment {
    const record = this.#open('deployment', name, signed);
    if (!deploymentRecord.Check(record)) throw new Error(problemOf(deploymentRecord.Errors(record), record));
    return record as unknown as StoredDeployment;
  }

  /** Parses a record after its signature was checked. */
  #open(kind: SignedKind, name: string, signed: string): unknown {
    if (this.#signer.holds(kind, name, signed)) return JSON.parse(this.#signer.textOf(signed));
    throw new SignatureError(
      signed.startsWith('{')
        ? 'it is not signed: a version without signatures wrote it, or something without the key'
        : 'its signature does not hold: it was written or changed with another key, or moved here',
    );
  }
}

function appText({ app, removed, origin }: StoredApp): string {
  return JSON.stringify({ v: format, app: recordOf(app), removed, origin });
}

/** The record's shape for a schema of the files. Keys with a default are optional, as they may be newer than the record. */
function shapeOf(shape: Shape): TSchema {
  if (shape.bounded) return shapeOf(shape.bounded);
  const item = shape.each ?? shape.items;
  if (item) return Type.Array(shapeOf(item));
  if (shape.unit?.suffix) return positive;
  if (shape.anyOf) return Type.Union(shape.anyOf.map(shapeOf));
  if (shape.enum) return Type.Union(shape.enum.map((word) => Type.Literal(word as string)));
  if (shape.const !== undefined) return Type.Literal(shape.const as true);
  if (shape.patternProperties) return Type.Record(Type.String(), shapeOf(Object.values(shape.patternProperties)[0]!));
  if (shape.properties) {
    const properties = Object.entries(shape.properties).map(([key, child]) => {
      const isNeeded = child.needed === true || shape.required?.includes(key) === true;
      return [nameOf(key, child), isNeeded ? shapeOf(child) : Type.Optional(shapeOf(child))];
    });
    return Type.Object(Object.fromEntries(properties) as Record<string, TSchema>);
  }
  if (shape.type === 'boolean') return Type.Boolean();
  return shape.type === 'string' ? Type.String() : positive;
}

/** Says what is wrong with a record of the wrong shape or version. */
export function problemOf(errors: readonly { instancePath: string; message: string }[], record: unknown): string {
  const version: unknown = typeof record === 'object' && record !== null && 'v' in record ? record.v : undefined;
  if (version !== format) return `its format version is ${JSON.stringify(version)}, this program reads ${format}`;
  const [first] = errors;
  return first ? `${first.instancePath} ${first.message}` : 'it has the wrong shape';
}

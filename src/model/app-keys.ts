import { Type, type Static, type TSchema } from './schema/typebox.js';
import { readDomain } from './domain.js';
import {
  anyText,
  choice,
  dictionary,
  duration,
  either,
  flag,
  list,
  number,
  oneOrMore,
  orUnlimited,
  parsedText,
  section,
  size,
  text,
  wholeNumber,
} from './schema/fields.js';
import { codec } from './schema/parsed.js';
import type { Shape } from './schema/shape.js';
import { affinityKeys } from './affinity-keys.js';
import { waitingKeys } from './waiting-keys.js';
import { rate, wakeSection } from './wake/wake-keys.js';

export const namePattern = '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$';
/** Headers of an answer of ours that are its own stay its own. */
const errorHeaderPattern =
  "^(?!(?:[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-|[Cc][Oo][Nn][Nn][Ee][Cc][Tt][Ii][Oo][Nn]$|[Tt][Rr]|[Uu][Pp][Gg][Rr][Aa][Dd][Ee]$|[Kk][Ee][Ee][Pp]-|[Xx]-[Ff][Aa][Ss][Tt]|[Rr][Ee][Tt][Rr][Yy]-))[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$";
export const nameExpects = 'a name of at most 40 lower-case letters, digits and inner hyphens';

const mount = section(
  {
    source: text({ description: 'Directory or file on the host.', examples: ['/srv/hello'] }),
    target: text({
      pattern: '^/[^\\0]*$',
      expects: 'an absolute path',
      description: 'Where it appears inside the container.',
      examples: ['/data'],
    }),
  },
  {
    readOnly: flag({ description: 'The app cannot write to it.', default: false, examples: [true] }),
    shared: flag({
      description:
        'The source is the same storage on every machine (NFS, a cluster file system). Without it, if `node.advertise` is set, the app is pinned to the machine of its first boot.',
      default: false,
      examples: [true],
      later: true,
    }),
  },
);

const limits = section(
  {},
  {
    memory: orUnlimited(
      size({
        from: '4m',
        to: '64t',
        description: 'Memory without swap; a process of the instance is killed beyond it.',
        default: '512m',
        examples: ['128m'],
      }),
    ),
    cpus: orUnlimited(
      number({
        minimum: 0.01,
        maximum: 1024,
        description: 'Processor cores, in parts or whole.',
        default: 'unlimited',
        examples: [0.25],
      }),
    ),
    cpuWeight: wholeNumber({
      minimum: 1,
      maximum: 10_000,
      description: 'Share of the processor cores while others want them too; twice the number is twice the share.',
      default: 100,
      examples: [50],
    }),
    pids: orUnlimited(
      wholeNumber({
        minimum: 1,
        maximum: 4_194_304,
        description: 'Processes and threads.',
        default: 256,
        examples: [64],
      }),
    ),
    files: orUnlimited(
      wholeNumber({
        minimum: 64,
        maximum: 1_048_576,
        description:
          'Files and sockets that each process may have open; `unlimited` is what the host or engine allows.',
        default: 4096,
        examples: [1024],
      }),
    ),
  },
  {
    description:
      'Resources of one instance. What is not named has the safe default below; `unlimited` has to be written. With ' +
      '`process` they need a control group, which `fastcontainer check` looks for.',
    container: true,
  },
);

const readiness = either(
  [
    section(
      {
        http: text({
          pattern: '^/[!-~]*$',
          expects: 'a path such as /healthz',
          description: 'Ready when a GET of this path answers 2xx or 3xx.',
          examples: ['/healthz'],
        }),
      },
      {},
    ),
    section(
      {
        tcp: Type.Literal(true, {
          expects: 'true',
          description: 'Ready when a connection is accepted and stays open.',
          examples: [true],
        }),
      },
      {},
    ),
  ],
  {
    description: 'How an instance proves that it can serve: `{ http: PATH }` or `{ tcp: true }`.',
    default: { tcp: true },
    examples: [{ http: '/healthz' }],
    expects: '{ http: PATH } or { tcp: true }',
    customer: true,
  },
);

/** What an app has to say. */
const identity = {
  name: text({
    pattern: namePattern,
    expects: nameExpects,
    description: 'Name of the app, unique among all app files.',
    examples: ['hello'],
    customer: true,
  }),
  domains: oneOrMore(
    parsedText(readDomain, {
      expects: 'a host name',
      description: 'A host name, or a wildcard of one label.',
      examples: ['hello.localhost'],
    }),
    {
      description:
        'Host names that lead to the app. `*.example.org` matches one label; an exact name wins. Unicode is fine.',
      examples: [['hello.localhost', '*.hello.localhost']],
      expects: 'a host name or a list of host names',
      customer: true,
    },
  ),
};

const plan = text({ description: 'One of the plans of the main file.', examples: ['small'] });

/**
 * Every key of an app, in the order of its records. From here come the file's schema and its documentation, the type `App`, its
 * defaults, the merging with plan and defaults, the record in the CMDB, and what a reload tells of a change. Beside what a key says
 * of itself (fields.ts) it may be marked:
 *
 * - `own`: plans and defaults do not say it.
 * - `customer`: files of customers may say it; a figure at most as high as plan and defaults have it.
 * - `container`: its change needs a new container.
 * - `merged`: a dictionary of which app, plan and defaults may each say a part.
 * - `needed`: an app has it, be it from plan or defaults.
 * - `later`: newer than the first records, which a record leaves out if it has its default. A new key is marked so: records of apps
 *   that do not use it stay as they are.
 */
const keys = {
  runtime: choice(['process', 'docker', 'oci'], {
    description:
      'What runs the app: `process` on this host, `docker`, or `oci`, which makes containers with runc (docs/oci.md).',
    examples: ['docker'],
    needed: true,
    container: true,
  }),
  command: list(anyText({ description: 'A word of the command.', examples: ['node'] }), {
    minItems: 1,
    expects: 'a list of words such as [node, server.js]',
    description:
      'Program and arguments, without a shell. `process` and `oci` need it; it replaces the command of an image that has one.',
    examples: [['node', 'server.js']],
    own: true,
    container: true,
    customer: true,
  }),
  image: text({
    pattern: '^[^\\s\\0]+$',
    expects: 'an image such as hello:1',
    description:
      'Image of the container: for docker a name, for oci `host`, the programs and libraries of this host, `rootfs:/PATH`, `oci:/PATH:TAG`, ' +
      '`docker-archive:/FILE` or `docker://HOST/NAME:TAG` (docs/oci.md).',
    defaultText: '`host` with oci',
    examples: ['hello:1'],
    own: true,
    container: true,
    customer: true,
  }),
  port: wholeNumber({
    minimum: 1,
    maximum: 65_535,
    description: 'Where the app listens inside its container. With `process` the app gets a free port as PORT.',
    defaultText: 'with docker the one port that the image exposes, else 8080; with oci 8080',
    examples: [3000],
    own: true,
    container: true,
    customer: true,
  }),
  env: dictionary(
    { pattern: '^[A-Za-z_][A-Za-z0-9_]*$', expects: 'the name of an environment variable' },
    anyText({
      expects: 'text (quote it; "" for an empty value)',
      secret: true,
      description: 'A value.',
      examples: ['hi'],
    }),
    {
      description: 'Environment of the app, beside HOST and PORT, which it is given. Merged name by name.',
      examples: [{ GREETING: 'hi' }],
      default: {},
      merged: true,
      container: true,
      customer: true,
    },
  ),
  mounts: list(mount, {
    description: 'Host directories and files made visible in the container (docker, oci).',
    expects: 'a list of mounts such as [{ source: /srv/hello, target: /data }]',
    examples: [[{ source: '/srv/hello', target: '/data', readOnly: true }]],
    default: [],
    own: true,
    container: true,
  }),
  cwd: text({
    description: 'Working directory of the command. With `process`, relative to the working directory of the daemon.',
    examples: ['/srv/hello'],
    own: true,
    container: true,
  }),
  user: text({
    description:
      'User the app runs as: a name, `UID`, `UID:GID`, or `auto`. With `process` under a root daemon it is required, and `auto` ' +
      'is a user that only this app has (`runtimes.process.users`); a daemon that is not root runs apps as itself. With ' +
      'docker `auto` is the user of the image, as without the key. With oci it is as with `process`, and the default unless the image names a user that is not root; names are those of the image.',
    examples: ['auto'],
    container: true,
  }),
  readOnly: flag({
    description: 'Root file system of the container is read-only (docker, oci).',
    default: false,
    examples: [true],
    container: true,
  }),
  publish: flag({
    description: 'Reach the container through a port published on the host instead of its own address (docker).',
    default: false,
    examples: [true],
    container: true,
  }),
  limits,
  readiness,
  overlap: flag({
    description:
      'Whether an instance may run beside the one that it replaces. With `false`, for an app that must never run twice (one writer on a volume), the old one ends first and requests wait; `scale.max` is then 1.',
    default: true,
    examples: [false],
    customer: true,
  }),
  scale: section(
    {},
    {
      min: wholeNumber({
        minimum: 0,
        maximum: 1000,
        description: 'Instances that are kept ready even without requests.',
        default: 0,
        examples: [1],
      }),
      max: wholeNumber({ minimum: 1, maximum: 1000, description: 'Instances at most.', default: 1, examples: [3] }),
    },
    { description: 'How many instances of the app may run.', customer: true },
  ),
  concurrency: section(
    {},
    {
      target: wholeNumber({
        minimum: 1,
        maximum: 100_000,
        description:
          'Requests in flight above which another instance is booted. If only `max` is written and is lower, it is `max`.',
        default: 50,
        examples: [20],
      }),
      max: wholeNumber({
        minimum: 1,
        maximum: 100_000,
        description:
          'Requests in flight at which further ones wait. No more than the workers of an app each of which serves one at a time.',
        default: 100,
        examples: [40],
      }),
      clientShare: number({
        minimum: 0.01,
        maximum: 1,
        description:
          'The part of the places of its instances that one client may have, an IPv4 address or an IPv6 /64; several clients that want many ' +
          'get less each. Beyond it their requests wait, and those of others do not wait behind them. Of two places or more no client has ' +
          'all. `1` keeps nothing back. Behind a proxy that is not in `trustedProxies` all clients are one.',
        default: 0.75,
        examples: [1],
      }),
    },
    { description: 'Requests that one instance serves at a time.', customer: true },
  ),
  queue: section(
    {},
    {
      max: wholeNumber({
        minimum: 0,
        maximum: 1_000_000,
        description: 'Requests that may wait for a boot or a free place; more are refused (`queue_full`).',
        default: 1000,
        examples: [200],
      }),
      timeout: duration({
        from: '1ms',
        to: '24h',
        description: 'How long a request waits before it is refused (`queue_timeout`).',
        default: '45s',
        examples: ['45s'],
      }),
    },
    { description: 'The waiting room of the app.', customer: true },
  ),
  idleTtl: duration({
    from: '1ms',
    to: '24d',
    description: 'An instance without requests for this long is ended.',
    default: '20m',
    examples: ['5m'],
    customer: true,
  }),
  maxLifetime: duration({
    from: '1ms',
    to: '24d',
    description:
      'An instance this old, or up to a tenth younger, ends; if it is in use, a fresh one is booted first (see `overlap`).',
    default: '24h',
    examples: ['12h'],
    customer: true,
  }),
  bootTimeout: duration({
    from: '1ms',
    to: '24h',
    description: 'A boot that is not ready by then has failed (`boot_timeout`).',
    default: '30s',
    examples: ['1m'],
    customer: true,
  }),
  drainTimeout: duration({
    from: '1ms',
    to: '24h',
    description: 'How long requests in flight may go on when an instance ends; then they are broken off.',
    default: '30s',
    examples: ['2m'],
    customer: true,
  }),
  stopTimeout: duration({
    from: '1ms',
    to: '1h',
    description: 'From SIGTERM to SIGKILL.',
    default: '10s',
    examples: ['10s'],
    customer: true,
  }),
  requestTimeout: duration({
    from: '1ms',
    to: '24d',
    description: 'To the first byte of the response (`upstream_timeout`); streams and WebSockets are not cut by it.',
    default: '5m',
    examples: ['30s'],
    customer: true,
  }),
  maxRequestBody: size({
    from: '0b',
    to: '1024t',
    description: 'Larger request bodies are refused (`payload_too_large`).',
    default: '10g',
    examples: ['100m'],
    customer: true,
  }),
  maxBusy: duration({
    from: '0s',
    to: '24h',
    description:
      'How long an answer may keep its instance awake for work that goes on behind it, by `x-fastcontainer-busy: 30s` (docs/apps.md); `0s` ignores that header. `maxLifetime` ends the instance all the same.',
    default: '5m',
    examples: ['15m'],
  }),
  websocket: section(
    {},
    {
      quiet: duration({
        from: '0s',
        to: '24h',
        description:
          'A WebSocket on which nothing flows is ended after `idleTtl`, and a page left open connects again at once. For this long that alone does not wake the app: an upgrade from that client is answered 503 `app_asleep` while no instance runs. Any other request wakes it. Each of several `workers` knows only those that it ended itself.',
        default: '0s',
        examples: ['10m'],
      }),
    },
    { description: 'Upgraded connections of the app.', later: true },
  ),
  errorHeaders: dictionary(
    { pattern: errorHeaderPattern, expects: 'the name of a header that does not frame the answer' },
    text({
      pattern: '^[ -~]{1,1000}$',
      expects: 'at most 1000 visible ASCII characters',
      description: 'A value.',
      examples: ['*'],
    }),
    {
      description:
        'Headers for answers in the place of the app (503 while it cannot start), such as those that let a page of another origin read them.',
      examples: [{ 'Access-Control-Allow-Origin': '*' }],
      default: {},
      later: true,
    },
  ),
  labels: dictionary(
    {
      pattern: '^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$',
      expects: 'at most 63 letters, digits and inner dots, slashes, hyphens and underscores',
    },
    text({
      pattern: '^[^\\x00-\\x1f\\x7f]{0,200}$',
      expects: 'at most 200 characters without line breaks',
      description: 'A value.',
      examples: ['c4711'],
    }),
    {
      description:
        'What the operator notes of the app, such as whose it is; `/v1/apps` shows it, so no secrets. Merged name by name.',
      examples: [{ customer: 'c4711' }],
      default: {},
      merged: true,
      later: true,
    },
  ),
  tls: section(
    {},
    {
      redirect: flag({
        description:
          'Answer requests over plain HTTP 308 to the same URL over HTTPS, without waking the app; not those below ' +
          '`/.well-known/acme-challenge/`. Behind `trustedProxies` what they say of the scheme counts.',
        default: false,
        examples: [true],
      }),
      hsts: duration({
        from: '0s',
        to: '730d',
        description:
          'Tell browsers over HTTPS to use nothing else for so long (`Strict-Transport-Security`), unless the app says so itself. `0s`: not told.',
        default: '0s',
        examples: ['180d'],
      }),
    },
    { description: 'HTTPS of the domains of the app.', customer: true, later: true },
  ),
  wake: wakeSection,
  maintenance: section(
    {},
    {
      mode: choice(['off', 'page', 'hold'], {
        description:
          '`page` answers 503 `maintenance` in the place of the app, `hold` lets requests wait, `off` is as usual. An operator may say otherwise by API, of an app of a file too (docs/api.md).',
        default: 'off',
        examples: ['page'],
      }),
      text: text({
        pattern: '^[^\\x00-\\x08\\x0b-\\x1f\\x7f]{1,2000}$',
        expects: 'at most 2000 characters of plain text',
        description: 'What clients read; HTML in it is shown, not obeyed.',
        defaultText: 'nothing but that the site is under maintenance',
        examples: ['We move to a new server until 6 o’clock.'],
      }),
      retryAfter: duration({
        from: '1s',
        to: '7d',
        description: 'When clients are told to come back (`Retry-After`).',
        default: '5m',
        examples: ['1h'],
      }),
      limit: duration({
        from: '1s',
        to: '10m',
        description:
          'With `hold`: how long a request waits, before it is answered as with `page`. At most `queue.max` requests wait.',
        default: '30s',
        examples: ['2m'],
      }),
    },
    {
      description: 'Requests that come while this is on do not reach the app, and do not wake it.',
      later: true,
    },
  ),
  requests: section(
    {},
    {
      perClient: orUnlimited({
        ...rate(
          'Requests of one client (an IPv4 address or an IPv6 /64) to the app; more are refused (`too_many_requests`). Each of several `workers` counts its part.',
        ),
        default: 'unlimited' as const,
      }),
      perApp: orUnlimited({
        ...rate('Requests of all clients to the app; more are refused (`too_many_requests`).'),
        default: 'unlimited' as const,
      }),
    },
    { description: 'How often the app may be asked.', later: true },
  ),
  ...waitingKeys,
  ...affinityKeys,
  pauseAfter: duration({
    from: '0s',
    to: '24d',
    description:
      'An instance without requests for this long is frozen until the next request (docker, oci): it uses no CPU, and answers again within milliseconds. It keeps its memory, and ends at `idleTtl` all the same, which has to be longer. `0s`: never (docs/pause.md).',
    default: '0s',
    examples: ['30s'],
    later: true,
  }),
};

type Keys = typeof keys;
type Marked<Mark extends string> = {
  [Key in keyof Keys]: Keys[Key] extends Readonly<Record<Mark, true>> ? Key : never;
}[keyof Keys];

function keysWith(isWanted: (shape: Shape) => boolean): Record<string, TSchema> {
  return Object.fromEntries(Object.entries(keys).filter(([, schema]) => isWanted(schema as Shape)));
}

/** An app as the program has it: with what plan and defaults say. */
export const appSchema = section(identity, keys);

export const appCodec = codec(appSchema);

/** What clients get instead of the app. */
export const maintenanceSchema = keys.maintenance;

/** What of an app its containers are made of. */
export const containerSchema = section(
  {},
  keysWith(({ container }) => container === true) as Pick<Keys, Marked<'container'>>,
);

/** What an app, its plan and the defaults may say alike; the first of them that says it wins. */
export const sharedSchema = section({}, keysWith(({ own }) => !own) as Omit<Keys, Marked<'own'>>, {
  description: 'Keys that an app, its plan and the defaults may set.',
});

export type SharedKeys = Static<typeof sharedSchema>;

/** One app: a document of an app file. */
export const appFileSchema = section(
  identity,
  { plan, ...keys },
  { description: 'One app. A file may hold several, separated by `---`.' },
);

export type AppFile = Static<typeof appFileSchema>;

/** As `appFileSchema`, for files that customers write; the rest is the operator's. */
export const customerFileSchema: TSchema = {
  ...appFileSchema,
  properties: Object.fromEntries(
    Object.entries(appFileSchema.properties).filter(([, schema]) => (schema as Shape).customer),
  ),
} as TSchema;

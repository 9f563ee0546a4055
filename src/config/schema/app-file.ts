import type { Static, TSchema } from 'typebox';
import { readDomain } from '../domain.js';
import { anyText, flag, list, oneOrMore, section, text, wholeNumber } from './fields.js';
import { nameExpects, namePattern, sharedKeys } from './shared-keys.js';

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
        'The source is the same storage on every machine (NFS, a cluster file system). Without it, where `node.advertise` is set, the app is pinned to the machine of its first boot.',
      default: false,
      examples: [true],
    }),
  },
);

/** One app: a document of an app file. */
export const appSchema = section(
  {
    name: text({
      pattern: namePattern,
      expects: nameExpects,
      description: 'Name of the app, unique among all app files.',
      examples: ['hello'],
    }),
    domains: oneOrMore(
      text({
        fault: (written) => {
          const reading = readDomain(written);
          return 'fault' in reading ? reading.fault : undefined;
        },
        expects: 'a host name',
        description: 'A host name, or a wildcard of one label.',
        examples: ['hello.localhost'],
      }),
      {
        description:
          'Host names that lead to the app. `*.example.org` matches one label; an exact name wins. Unicode is fine.',
        examples: [['hello.localhost', '*.hello.localhost']],
        expects: 'a host name or a list of host names',
      },
    ),
  },
  {
    plan: text({ description: 'One of the plans of the main file.', examples: ['small'] }),
    command: list(anyText({ description: 'A word of the command.', examples: ['node'] }), {
      minItems: 1,
      expects: 'a list of words such as [node, server.js]',
      description:
        'Program and arguments, without a shell. `process` needs it; for docker it replaces the command of the image.',
      examples: [['node', 'server.js']],
    }),
    image: text({
      pattern: '^[^\\s\\0]+$',
      expects: 'an image such as hello:1',
      description: 'Image of the container (docker).',
      examples: ['hello:1'],
    }),
    port: wholeNumber({
      minimum: 1,
      maximum: 65_535,
      description: 'Where the app listens inside its container. With `process` the app gets a free port as PORT.',
      defaultText: 'with docker the one port that the image exposes, else 8080',
      examples: [3000],
    }),
    cwd: text({
      description: 'Working directory of the command. With `process`, relative to the working directory of the daemon.',
      examples: ['/srv/hello'],
    }),
    mounts: list(mount, {
      description: 'Host directories and files made visible in the container (docker).',
      expects: 'a list of mounts such as [{ source: /srv/hello, target: /data }]',
      examples: [[{ source: '/srv/hello', target: '/data', readOnly: true }]],
    }),
    ...sharedKeys,
  },
  { description: 'One app. A file may hold several, separated by `---`.' },
);

export type AppFile = Static<typeof appSchema>;

/** What a customer may say in a file of his own; the rest is the operator's. */
const customerKeys = [
  ...['name', 'domains', 'command', 'image', 'port', 'env', 'readiness', 'overlap', 'scale', 'concurrency', 'queue'],
  ...['idleTtl', 'maxLifetime', 'bootTimeout', 'drainTimeout', 'stopTimeout', 'requestTimeout', 'maxRequestBody'],
];

/** As `appSchema`, for files that customers write. */
export const customerAppSchema: TSchema = {
  ...appSchema,
  properties: Object.fromEntries(Object.entries(appSchema.properties).filter(([key]) => customerKeys.includes(key))),
} as TSchema;

/** What is wrong with a key that the operator may use and a customer may not. */
export function customerKeyFault(key: string): string | undefined {
  const isOperators = Object.hasOwn(appSchema.properties, key) && !customerKeys.includes(key);
  return isOperators ? 'is not for a file of a customer; the operator says it in plan or defaults' : undefined;
}

import { BlockList, isIP, isIPv6 } from 'node:net';
import { parseDuration } from '../duration.js';
import { choice, dictionary, type Docs, either, flag, list, orUnlimited, section, text } from '../schema/fields.js';
import { type Static, Type } from '../schema/typebox.js';
import { rateExpects, rateFault } from './rate.js';

export const ruleSets = ['bots', 'monitors', 'scanners', 'static'] as const;
export type RuleSet = (typeof ruleSets)[number];

/** More rules, or more patterns of one kind in a rule, are refused. */
const mostRules = 32;
const mostPatterns = 64;

/** Also within a list of several shapes, where values stay as they are written. */
const someOf = <const D extends Docs & { readonly expects: string }>(item: Type.TString & Docs, docs: D) =>
  either([item, list(item, { ...docs, minItems: 1, maxItems: mostPatterns })], docs);

/** A rate, as it is written. */
export const rate = (description: string) =>
  text({ fault: rateFault, expects: rateExpects, description, examples: ['10/m'] });

const glob = (description: string, examples: readonly [string, ...string[]]) =>
  text({
    pattern: '^[!-~](?:[ -~]{0,198}[!-~])?$',
    fault: (written) => (written.split('*').length > 5 ? 'must not have more than four *' : undefined),
    expects: 'at most 200 visible ASCII characters',
    description,
    examples,
  });

const path = text({
  pattern: '^[/*][!-~]{0,199}$',
  fault: (written) =>
    written.split('*').length > 5
      ? 'must not have more than four *'
      : /[?#]/.test(written)
        ? 'must be a path without a query'
        : undefined,
  expects: 'a path such as /feed or /api/* of at most 200 visible ASCII characters',
  description: 'A path; `*` stands for any characters.',
  examples: ['/api/*'],
});

const userAgent = glob('A part of the user agent.', ['ExampleBot/']);

const network = text({
  fault: (written) => (networkOf(written) ? undefined : 'must be an IP address or subnet; of IPv6 at most a /64'),
  expects: 'an IP address or subnet such as 192.0.2.0/24; of IPv6 at most a /64',
  description: 'An address or subnet.',
  examples: ['192.0.2.0/24'],
});

const method = text({
  pattern: '^[A-Z-]{1,20}$',
  expects: 'a method such as POST',
  description: 'A method.',
  examples: ['POST'],
});

const answer = {
  status: either(
    [Type.Literal(200), Type.Literal(403), Type.Literal(404), Type.Literal(410), Type.Literal(429), Type.Literal(503)],
    {
      expects: '200, 403, 404, 410, 429 or 503',
      description: 'Status of the answer.',
      examples: [404],
    },
  ),
  retryAfter: text({
    fault: (written) => {
      const ms = parseDuration(written);
      return ms !== undefined && ms >= 1_000 && ms <= 86_400_000 * 24
        ? undefined
        : 'must be a duration from 1s to 24d such as 1h';
    },
    expects: 'a duration from 1s to 24d such as 1h',
    description: 'What `Retry-After` of a 503 or 429 says.',
    examples: ['1h'],
  }),
  type: text({
    pattern: '^[!-~][ -~]{0,99}$',
    expects: 'a media type such as text/html',
    description: 'Content type of `body`.',
    examples: ['text/html; charset=utf-8'],
  }),
  body: text({
    pattern: '^[^\\0]{0,4096}$',
    expects: 'at most 4096 characters',
    description: 'The answer itself.',
    defaultText: 'what the error `wake_denied` says, in the form that the client accepts',
    examples: ['asleep'],
  }),
};

const rule = section(
  {},
  {
    name: text({
      pattern: '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$',
      expects: 'a name of at most 40 lower-case letters, digits and inner hyphens',
      description: 'Name of the rule in log and metrics.',
      defaultText: 'the set, or `rule-` and its number',
      examples: ['feeds'],
    }),
    set: choice(ruleSets, { description: 'What one of the built-in sets matches.', examples: ['bots'] }),
    method: someOf(method, {
      description: 'One of these methods.',
      expects: 'a method or a list of methods',
      examples: ['POST', ['HEAD', 'OPTIONS']],
    }),
    path: someOf(path, {
      description: 'One of these paths, without the query; `*` stands for any characters.',
      expects: 'a path such as /api/*, or a list of paths',
      examples: ['/api/*', ['/feed', '*.xml']],
    }),
    userAgent: someOf(userAgent, {
      description: 'The user agent contains one of these texts, in upper or lower case.',
      expects: 'a text or a list of texts',
      examples: ['ExampleBot/'],
    }),
    network: someOf(network, {
      description: 'The client is in one of these networks.',
      expects: 'an IP address or subnet, or a list of them',
      examples: ['192.0.2.0/24', ['192.0.2.7', '2001:db8::/48']],
    }),
    header: dictionary(
      { pattern: "^[A-Za-z0-9!#$%&'+.^_`|~-]{1,100}$", expects: 'the name of a header' },
      glob('The value; `*` stands for any characters.', ['prefetch*']),
      {
        description: 'The request has all these headers, with these values.',
        examples: [{ 'Sec-Purpose': 'prefetch*' }],
      },
    ),
    rate: rate('Only the requests of a client that are beyond this rate.'),
    wakes: flag({ description: 'Whether such a request wakes the app.', default: false, examples: [true] }),
    counts: flag({
      description: 'Whether such a request to the running app puts off its sleep (`idleTtl`).',
      default: false,
      examples: [true],
    }),
    asleep: section({}, answer, { description: 'What such a request gets while the app is asleep.' }),
  },
  { description: 'A rule: a request matches if all that it says is so.' },
);

const rules = list(
  either([choice(ruleSets, { description: 'A built-in set.', examples: ['bots'] }), rule], {
    description: 'A built-in set, or a rule.',
    expects: `${ruleSets.join(', ')}, or a rule such as { path: /feed, wakes: true }`,
    examples: ['bots', { path: '/feed', wakes: true }],
  }),
  {
    maxItems: mostRules,
    description:
      'Which requests do not wake the app, and do not keep it awake; the first rule that matches decides, and a request that none matches wakes it and counts. `bots`, `monitors`, `scanners`, `static` are built in. See docs/wake.md.',
    expects: 'a list such as [bots, monitors]',
    default: [],
    examples: [['bots', 'monitors', 'scanners', 'static']],
  },
);

export const wakeSection = section(
  {},
  {
    rules,
    asleep: section(
      {},
      {
        ...answer,
        status: { ...answer.status, default: 503 as const },
        retryAfter: { ...answer.retryAfter, default: '10m' as const },
        type: { ...answer.type, default: 'text/plain; charset=utf-8' as const },
      },
      { description: 'What requests get that do not wake the sleeping app.' },
    ),
    budget: section(
      {},
      {
        perApp: orUnlimited({
          ...rate('How often requests may wake the app; more are refused (`wake_denied`).'),
          default: 'unlimited' as const,
        }),
      },
      { description: 'How often the app may be woken.' },
    ),
  },
  { description: 'Who wakes the app, and who keeps it awake.', later: true },
);

/** The whole-node part of the main file's `wake`. */
export const nodeBudget = {
  perClient: orUnlimited({
    ...rate('How often one client (an IPv4 address or an IPv6 /64) may wake apps, over all apps.'),
    default: 'unlimited' as const,
  }),
  total: orUnlimited({
    ...rate('How often all clients together may wake apps, over all apps.'),
    default: 'unlimited' as const,
  }),
};

export type WakeRule = Static<typeof rules>[number];
export type AsleepKeys = Static<typeof rule>['asleep'];

/** A list of the network alone; undefined if the text is none, or an IPv6 subnet that is narrower than a client. */
export function networkOf(written: string): { readonly address: string; readonly bits: number } | undefined {
  const [address = '', prefix, more] = written.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || more !== undefined) return undefined;
  if (prefix === undefined) return family === 6 ? undefined : { address, bits: 32 };
  if (!/^\d{1,3}$/.test(prefix)) return undefined;
  const bits = Number(prefix);
  return bits <= (family === 6 ? 64 : 32) ? { address, bits } : undefined;
}

/** The networks of a rule. */
export function networksOf(written: readonly string[]): BlockList {
  const networks = new BlockList();
  for (const text of written) {
    const found = networkOf(text);
    if (found) networks.addSubnet(found.address, found.bits, isIPv6(found.address) ? 'ipv6' : 'ipv4');
  }
  return networks;
}

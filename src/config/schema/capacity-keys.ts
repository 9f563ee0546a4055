import { section, size, wholeNumber } from '../../model/schema/fields.js';

/** How much this node does at a time. */
export const boot = section(
  {},
  {
    concurrency: wholeNumber({
      minimum: 1,
      maximum: 1000,
      description:
        'Boots at a time on this node; more wait. The first instance of an app goes before further ones of any, which never ' +
        'take the last free place; apps take turns.',
      defaultText: 'twice the number of processor cores',
      examples: [8],
    }),
    maxWaiting: wholeNumber({
      minimum: 1,
      maximum: 1_000_000,
      description:
        'Requests that may wait for a boot or a free place on this node, over all apps; more are refused (`queue_full`). ' +
        'One app alone gets at most half of it.',
      default: 10_000,
      examples: [20_000],
    }),
  },
  { description: 'Starting instances.' },
);

/** What it leaves to others. */
export const memory = section(
  {},
  {
    floor: size({
      from: '1m',
      to: '64t',
      description:
        'Memory that is to stay available on this host (or in the control group of the daemon, where that has less). Below it ' +
        'idle instances end before their time, the longest idle first, but not below `scale.min`; a boot that would not leave ' +
        'it beside `limits.memory` of its app (nothing, where that is `unlimited`) waits for `bootTimeout` at most (`boot_failed`).',
      defaultText: 'memory is not watched',
      examples: ['512m'],
    }),
  },
  { description: 'Memory pressure.' },
);

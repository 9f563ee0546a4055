import type { AppFile } from './schema/app-file.js';
import type { Filled } from './schema/filled.js';
import type { sharedSchema } from './schema/shared-keys.js';
import type { Report } from './explain.js';
import { parseDuration } from '../model/duration.js';
import { parseSize } from './units.js';

/** What the operator lets the files of one `apps` entry with `trust: customer` say. */
export interface CustomerTerms {
  /** Normalised. */
  readonly domains: readonly string[];
  readonly plan?: string;
  readonly images: readonly string[];
}

type Shared = Filled<typeof sharedSchema>;

/** Reports the domains and the image that the terms do not allow. */
export function refuseForeign(
  written: AppFile,
  domains: readonly string[],
  terms: CustomerTerms,
  report: Report,
): void {
  domains.forEach((domain, index) => {
    const path = typeof written.domains === 'string' ? ['domains'] : ['domains', index];
    if (domain.startsWith('*.')) report(path, `${domain}: a wildcard is the operator's to give`);
    else if (!terms.domains.some((allowed) => allowed === domain || allowed === parentWildcard(domain)))
      report(path, `${domain} is not below ${terms.domains.join(', ')}, which is what files here may have`);
  });
  const { image } = written;
  if (image !== undefined && !terms.images.some((allowed) => isImageOf(image, allowed)))
    report(['image'], 'is not among the `images` that the main file allows for files here');
}

/** Own figures, each at most what plan and defaults say. */
export function boundedBy(own: Shared, plan: Shared): Shared {
  const shortest = (a: string, b: string) => (parseDuration(a)! <= parseDuration(b)! ? a : b);
  const smallest = (a: string, b: string) => (parseSize(a)! <= parseSize(b)! ? a : b);
  const max = Math.min(own.scale.max, plan.scale.max);
  const most = Math.min(own.concurrency.max, plan.concurrency.max);
  return {
    ...own,
    scale: { ...own.scale, min: Math.min(own.scale.min, plan.scale.min, max), max },
    concurrency: {
      ...own.concurrency,
      target: Math.min(own.concurrency.target, plan.concurrency.target, most),
      max: most,
      clientShare: Math.min(own.concurrency.clientShare, plan.concurrency.clientShare),
    },
    queue: {
      ...own.queue,
      max: Math.min(own.queue.max, plan.queue.max),
      timeout: shortest(own.queue.timeout, plan.queue.timeout),
    },
    idleTtl: shortest(own.idleTtl, plan.idleTtl),
    maxLifetime: shortest(own.maxLifetime, plan.maxLifetime),
    bootTimeout: shortest(own.bootTimeout, plan.bootTimeout),
    drainTimeout: shortest(own.drainTimeout, plan.drainTimeout),
    stopTimeout: shortest(own.stopTimeout, plan.stopTimeout),
    requestTimeout: shortest(own.requestTimeout, plan.requestTimeout),
    maxRequestBody: smallest(own.maxRequestBody, plan.maxRequestBody),
  };
}

function parentWildcard(domain: string): string {
  return `*.${domain.slice(domain.indexOf('.') + 1)}`;
}

/** With any tag or digest; below a path that ends in a slash. */
function isImageOf(image: string, allowed: string): boolean {
  if (allowed.endsWith('/')) return image.startsWith(allowed) && image.length > allowed.length;
  return image === allowed || (image.startsWith(allowed) && /^[:@][^/]+$/.test(image.slice(allowed.length)));
}

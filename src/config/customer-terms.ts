import { type AppFile, appFileSchema, type sharedSchema } from '../model/app-keys.js';
import type { Parsed } from '../model/schema/parsed.js';
import { childOf, isMapping, type Shape } from '../model/schema/shape.js';
import type { Report } from './explain.js';

/** What the operator allows in the files of one `apps` entry with `trust: customer`. */
export interface CustomerTerms {
  /** Normalised. */
  readonly domains: readonly string[];
  readonly plan?: string;
  readonly images: readonly string[];
}

type Shared = Parsed<typeof sharedSchema>;

/** Why a customer may not use this key; undefined for a key that is theirs to use or that nobody knows. */
export function customerKeyFault(key: string): string | undefined {
  const known = childOf(appFileSchema as Shape, key);
  return known && !known.customer
    ? 'is not for a customer to say; the operator says it in plan or defaults'
    : undefined;
}

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
      report(path, `${domain} is not below ${terms.domains.join(', ')}, which is all that is allowed here`);
  });
  const { image } = written;
  if (image !== undefined && !terms.images.some((allowed) => isImageOf(image, allowed)))
    report(['image'], 'is not among the `images` that the main file allows here');
}

/** The app's own values, each figure reduced to what plan and defaults allow. */
export function boundedBy(own: Shared, plan: Shared): Shared {
  const { scale, concurrency, ...others } = atMost(own, plan) as Shared;
  return {
    ...others,
    scale: { ...scale, min: Math.min(scale.min, scale.max) },
    concurrency: { ...concurrency, target: Math.min(concurrency.target, concurrency.max) },
  };
}

/** The smaller of each pair of numbers. */
function atMost(own: unknown, plan: unknown): unknown {
  if (typeof own === 'number' && typeof plan === 'number') return Math.min(own, plan);
  if (!isMapping(own) || !isMapping(plan)) return own;
  return Object.fromEntries(Object.entries(own).map(([key, value]) => [key, atMost(value, plan[key])]));
}

function parentWildcard(domain: string): string {
  return `*.${domain.slice(domain.indexOf('.') + 1)}`;
}

/** `allowed` is an image, which may have any tag or digest, or a path that ends in a slash. */
function isImageOf(image: string, allowed: string): boolean {
  if (allowed.endsWith('/')) return image.startsWith(allowed) && image.length > allowed.length;
  return image === allowed || (image.startsWith(allowed) && /^[:@][^/]+$/.test(image.slice(allowed.length)));
}

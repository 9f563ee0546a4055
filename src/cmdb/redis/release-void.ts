import type { ApplyContext } from './apply-context.js';
import { batches } from '../batches.js';
import { claimantOf } from './claim.js';
import { listedBy } from './records.js';

const batch = 500;

/**
 * Takes away the claims on these domains that no record backs. The claim is read before the record: whoever lists the
 * domain later claims it anew, and that is another claim than the one that is taken away here.
 */
export async function releaseVoid(
  domains: readonly string[],
  { link, keys, records }: Pick<ApplyContext, 'link' | 'keys' | 'records'>,
): Promise<void> {
  for (const some of batches([...new Set(domains)], batch)) {
    const claims = await records.claims(some);
    const claimed = some.flatMap((domain, index) => {
      const claim = claims[index];
      return claim === undefined ? [] : [{ domain, claim, name: claimantOf(claim) as string }];
    });
    const names = [...new Set(claimed.map(({ name }) => name))];
    const texts = await records.texts(names);
    const listed = new Map(names.map((name, index) => [name, listedBy(records.app(name, texts[index]))]));
    const unbacked = claimed.filter(({ name, domain }) => listed.get(name)?.includes(domain) !== true);
    await link.all(unbacked.map(({ domain, claim }) => ['fcRelease', keys.domain(domain), claim]));
  }
}

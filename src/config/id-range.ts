/** Numbers of users from `from` to `to`, both included. */
export interface IdRange {
  readonly from: number;
  readonly to: number;
}

/** Below it are the accounts of the system itself. */
const smallest = 1_000;
/** Beyond it the kernel and node read ids as negative. */
export const largestId = 2_147_483_647;

/** Reads `1900000000-1900065535`. */
export function parseIdRange(
  text: string,
): { readonly range: IdRange; readonly fault?: undefined } | { readonly fault: string } {
  const match = /^(\d{1,10})-(\d{1,10})$/.exec(text.trim());
  if (!match) return { fault: 'must be a range of user numbers such as 1900000000-1900065535' };
  const range = { from: Number(match[1]), to: Number(match[2]) };
  if (range.from < smallest || range.to > largestId) {
    return { fault: `must be a range of user numbers from ${smallest} to ${largestId}` };
  }
  if (range.from > range.to) return { fault: 'must begin with the lower number' };
  return { range };
}

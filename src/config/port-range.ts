/** Ports from `from` to `to`, both included. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** Reads `20000-29999`. */
export function parsePortRange(
  text: string,
): { readonly range: PortRange; readonly fault?: undefined } | { readonly fault: string } {
  const match = /^(\d{1,5})-(\d{1,5})$/.exec(text.trim());
  if (!match) return { fault: 'must be a range of ports such as 20000-29999' };
  const range = { from: Number(match[1]), to: Number(match[2]) };
  if (range.from < 1 || range.to > 65_535) return { fault: 'must be a range of ports from 1 to 65535' };
  if (range.from > range.to) return { fault: 'must begin with the lower port' };
  return { range };
}

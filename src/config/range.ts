import type { Parsing } from '../model/schema/fields.js';

/** Numbers from `from` to `to`, both included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Reads `20000-29999`. */
export function readPortRange(text: string): Parsing<Range> {
  return readRange(text, { what: 'ports', example: '20000-29999', least: 1, most: 65_535, one: 'port' });
}

/**
 * Reads `1900000000-1900065535`. Ids below 1000 are accounts of the system; ids above 2^31 - 1 are negative to the kernel and to
 * Node.
 */
export function readIdRange(text: string): Parsing<Range> {
  const example = '1900000000-1900065535';
  return readRange(text, { what: 'user numbers', example, least: 1_000, most: 2_147_483_647, one: 'number' });
}

interface Terms {
  readonly what: string;
  readonly one: string;
  readonly example: string;
  readonly least: number;
  readonly most: number;
}

function readRange(text: string, { what, one, example, least, most }: Terms): Parsing<Range> {
  const match = /^(\d{1,10})-(\d{1,10})$/.exec(text.trim());
  if (!match) return { fault: `must be a range of ${what} such as ${example}` };
  const range = { from: Number(match[1]), to: Number(match[2]) };
  if (range.from < least || range.to > most) return { fault: `must be a range of ${what} from ${least} to ${most}` };
  return range.from > range.to ? { fault: `must begin with the lower ${one}` } : { value: range };
}

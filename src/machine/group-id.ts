import { textOf } from './text-of.js';

/** The number of a group of this host, given by name or number. Throws an Error that says what to do. */
export function groupId(group: string): number {
  if (/^\d+$/.test(group)) return Number(group);
  const found = textOf('/etc/group')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === group)?.[2];
  if (found !== undefined && /^\d+$/.test(found)) return Number(found);
  throw new Error(`there is no group ${group} in /etc/group; create it, or give its number`);
}

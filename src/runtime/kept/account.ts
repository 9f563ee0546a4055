import { textOf } from '../../machine/text-of.js';

/** The user that a command runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups: those in /etc/group if the user was given by name, else none. */
  readonly groups: readonly number[];
  readonly home: string;
}

/** Texts of /etc/passwd and /etc/group. */
export interface Databases {
  readonly passwd: string;
  readonly group: string;
}

/** The kernel and Node take larger ids for negative. */
const largestId = 2_147_483_647;

/**
 * Looks up the user of an app: `NAME`, `UID`, or either with `:GROUP` or `:GID`. Group and home come from /etc/passwd if it has the
 * user. Throws an Error that names the user and what to do.
 */
export function accountOf(user: string, databases: Databases = readDatabases()): Account {
  const [name = '', group, ...more] = user.split(':');
  if (more.length > 0) throw new Error(`user '${user}' has more than one colon; write NAME, UID or UID:GID`);
  const isNumber = /^\d+$/.test(name);
  const entry = passwdEntries(databases.passwd).find(([known, , uid]) => (isNumber ? uid === name : known === name));
  if (!isNumber && !entry) throw new Error(`there is no user '${name}' on this machine; create it, or correct 'user'`);
  const uid = Number(isNumber ? name : entry?.[2]);
  const gid = group === undefined ? Number(entry?.[3] ?? uid) : gidOf(group, databases.group);
  if (![uid, gid].every((id) => Number.isInteger(id) && id <= largestId)) {
    throw new Error(`user '${user}' has an id that is not a number up to ${largestId}; correct 'user'`);
  }
  return { uid, gid, groups: isNumber ? [] : groupsOf(name, gid, databases.group), home: entry?.[5] || '/' };
}

export function readDatabases(): Databases {
  return { passwd: textOf('/etc/passwd'), group: textOf('/etc/group') };
}

/** Ids in /etc/passwd and /etc/group, which must not be given to apps. */
export function knownIds({ passwd, group }: Databases): Set<number> {
  return new Set([
    ...passwdEntries(passwd).flatMap(([, , uid, gid]) => [Number(uid), Number(gid)]),
    ...groupEntries(group).map(([, , gid]) => Number(gid)),
  ]);
}

/** Name of a group, or its number if /etc/group does not have it. */
export function groupName(gid: number, { group }: Databases): string {
  return groupEntries(group).find(([, , id]) => id === String(gid))?.[0] ?? String(gid);
}

function gidOf(group: string, text: string): number {
  if (/^\d+$/.test(group)) return Number(group);
  const gid = groupEntries(text).find(([name]) => name === group)?.[2];
  if (gid === undefined) throw new Error(`there is no group '${group}' on this machine; create it, or correct 'user'`);
  return Number(gid);
}

function groupsOf(name: string, gid: number, text: string): number[] {
  const listed = groupEntries(text).filter(([, , , members = '']) => members.split(',').includes(name));
  const ids = listed.map(([, , id]) => Number(id)).filter((id) => Number.isInteger(id) && id <= largestId);
  return [...new Set(ids)].filter((id) => id !== gid);
}

function passwdEntries(text: string): string[][] {
  return entriesOf(text, 7);
}

function groupEntries(text: string): string[][] {
  return entriesOf(text, 4);
}

function entriesOf(text: string, fields: number): string[][] {
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .filter(({ length }) => length === fields);
}

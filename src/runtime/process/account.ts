import { readFileSync } from 'node:fs';

/** Whom a command runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/** Beyond it the kernel and node read ids as negative. */
const largestId = 2_147_483_647;

/**
 * By name from /etc/passwd, or `UID` or `UID:GID` as numbers; of a number without group, group and home are those in
 * /etc/passwd where it is there. Throws an Error that names the user and what to do.
 */
export function accountOf(user: string, passwd: string = readPasswd()): Account {
  const account = find(user, passwd);
  const self = process.getuid?.();
  if (self !== 0 && !(account.uid === self && account.gid === process.getgid?.())) {
    throw new Error(`running as user '${user}' needs the dispatcher to run as root; run it so, or remove 'user'`);
  }
  return account;
}

function find(user: string, passwd: string): Account {
  const fieldsOfEntry = 7;
  const lines = passwd.split('\n').map((line) => line.split(':'));
  const entries = lines.filter(({ length }) => length === fieldsOfEntry);
  const numeric = /^(\d+)(?::(\d+))?$/.exec(user);
  const entry = entries.find(([name, , uid]) => (numeric ? uid === numeric[1] : name === user));
  if (!numeric && !entry) throw new Error(`there is no user '${user}' on this machine; create it, or correct 'user'`);
  const uid = Number(numeric?.[1] ?? entry?.[2]);
  const gid = Number(numeric?.[2] ?? entry?.[3] ?? uid);
  if (![uid, gid].every((id) => Number.isInteger(id) && id <= largestId)) {
    throw new Error(`user '${user}' has an id that is no number up to ${largestId}; correct 'user'`);
  }
  return { uid, gid, home: entry?.[5] || '/' };
}

function readPasswd(): string {
  try {
    return readFileSync('/etc/passwd', 'utf8');
  } catch {
    return '';
  }
}

import { type Account, accountOf, type Databases, groupName } from './account.js';
import { capability, type Credentials } from './credentials.js';

/** What an app runs as: an account, or a user of its own that is assigned later. */
export type RunAs = { readonly account: Account } | { readonly auto: true };

/** Groups whose members can become root. */
const groupsOfRoot = [
  'root',
  'docker',
  'podman',
  'lxd',
  'incus',
  'incus-admin',
  'libvirt',
  'libvirtd',
  'disk',
  'shadow',
  'kmem',
];

/**
 * What `user` of an app means for a daemon with these credentials: `auto` is a user of its own under a root daemon, else the daemon's
 * user. Throws an Error that says what to write.
 */
export function runAs(user: string | undefined, daemon: Credentials, databases: Databases): RunAs {
  if (daemon.uid !== 0) return { account: ownAccount(user, daemon, databases) };
  if (user === 'auto') return { auto: true };
  if (user === undefined) {
    throw new Error(
      "the daemon is root and no user is named; write 'user: auto' for one of its own, a name, UID:GID, or 'user: root'",
    );
  }
  return { account: accountOf(user, databases) };
}

/**
 * Why a daemon that is not root must not start apps: they would get groups that are as good as root. Undefined if the groups are
 * harmless, can be dropped, or are allowed by `inheritGroups`.
 */
export function groupsFault(daemon: Credentials, databases: Databases, inheritGroups: boolean): string | undefined {
  if (inheritGroups || daemon.uid === 0) return undefined;
  const kept = keptGroups(daemon);
  const names = [daemon.gid, ...kept].map((gid) => groupName(gid, databases));
  const found = [...new Set(names.filter((name) => groupsOfRoot.includes(name)))];
  if (found.length === 0) return undefined;
  const group = found.length > 1 ? `groups ${found.join(', ')}` : `group ${found[0]}`;
  return (
    `the daemon is not root and has the ${group}, which its apps would have too and which is as good as root; start it ` +
    'without, or set runtimes.process.inheritGroups: true if its apps may be root'
  );
}

/**
 * Why a daemon that is not root must not start apps: they would keep its capabilities. Undefined if it has none to pass on, or if
 * setpriv drops them.
 */
export function capabilitiesFault(daemon: Credentials, setpriv: string | undefined): string | undefined {
  const { uid, ambient, inheritable } = daemon;
  if (uid === 0 || setpriv !== undefined || (ambient | inheritable) === 0n) return undefined;
  const sets = Object.entries({ ambient, inheritable }).filter(([, bits]) => bits !== 0n);
  const found = sets.map(([name, bits]) => `${name} 0x${bits.toString(16)}`).join(', ');
  return (
    `the daemon is not root and has capabilities (${found}) that its apps would keep, since there is no setpriv of util-linux to ` +
    'drop them; install util-linux, or start the daemon without them'
  );
}

/** Supplementary groups that apps of a daemon that is not root cannot drop. */
export function keptGroups({ uid, gid, groups, ambient }: Credentials): number[] {
  // To drop them, setpriv needs a capability that survives its start.
  if (uid === 0 || (ambient & capability.setgid) !== 0n) return [];
  return groups.filter((group) => group !== gid);
}

function ownAccount(user: string | undefined, daemon: Credentials, databases: Databases): Account {
  const { uid, gid } = daemon;
  const own = { uid, gid, groups: keptGroups(daemon), home: process.env['HOME'] ?? '/' };
  if (user === undefined || user === 'auto') return own;
  const account = accountOf(user, databases);
  if (account.uid === uid && account.gid === gid) return { ...own, home: account.home };
  throw new Error(`running as user '${user}' needs the dispatcher to run as root; run it as root, or remove 'user'`);
}

import { textOf } from '../../machine/text-of.js';
import type { App } from '../../model/app.js';
import { type Databases, groupName, knownIds, readDatabases } from '../kept/account.js';
import { findSetpriv } from './confine.js';
import { ControlGroups } from '../kept/control-groups.js';
import { type Credentials, readCredentials } from '../kept/credentials.js';
import { findPidNamespace, needsPidNamespace } from './pid-namespace.js';
import { capabilitiesFault, groupsFault, keptGroups, runAs } from '../kept/run-as.js';
import { scratchObstacle } from './scratch.js';

export interface FindingsOptions {
  /** The apps of the process runtime. */
  readonly apps: readonly App[];
  readonly users: IdRange;
  readonly inheritGroups: boolean;
  readonly pidNamespace: boolean;
}

export interface ProcessFindings {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

interface IdRange {
  readonly from: number;
  readonly to: number;
}

/** What this host offers to apps of the process runtime. Texts are of files, '' if there is none. */
export interface ProcessHost extends Databases {
  readonly daemon: Credentials;
  readonly subuid: string;
  readonly subgid: string;
  readonly loginDefs: string;
  /** Whether instances can have control groups, and which limits those lack. */
  readonly groups: { readonly areAvailable: boolean; readonly missing: readonly string[] };
  readonly setpriv: string | undefined;
  /** Whether the daemon can give apps a pid namespace. */
  readonly hasPidNamespaces: boolean;
  /** Why apps under other users than the daemon's get no scratch directory. */
  readonly scratchObstacle: string | undefined;
}

interface Directories {
  readonly stateDir: string;
  readonly scratchDir: string;
}

const mostNames = 5;

/** What prevents apps of the process runtime from running here, and what is unsafe about them. */
export function processFindings(options: FindingsOptions, host: ProcessHost): ProcessFindings {
  const { byUser, faults } = groupByUser(options.apps, host);
  const fault = groupsFault(host.daemon, host, options.inheritGroups);
  const capabilities = capabilitiesFault(host.daemon, host.setpriv);
  return {
    problems: [...faults, ...[fault, capabilities].filter((text) => text !== undefined)],
    warnings: [
      ...(host.daemon.uid === 0 ? sharedUsers(byUser) : ownUser(host, fault !== undefined)),
      ...(host.daemon.uid === 0 && options.apps.some(({ user }) => user === 'auto')
        ? rangeWarnings(options, host)
        : []),
      ...confinementWarnings(host, options.pidNamespace),
      ...(host.daemon.uid === 0 && host.scratchObstacle !== undefined ? [host.scratchObstacle] : []),
    ],
  };
}

/** Inspects this host for the process runtime with these directories; changes nothing. */
export async function lookAtProcessHost({ stateDir, scratchDir }: Directories): Promise<ProcessHost> {
  const { areAvailable, missing } = await ControlGroups.open(stateDir, false);
  return {
    ...{ daemon: readCredentials(), ...readDatabases() },
    ...{ subuid: textOf('/etc/subuid'), subgid: textOf('/etc/subgid'), loginDefs: textOf('/etc/login.defs') },
    groups: { areAvailable, missing },
    setpriv: await findSetpriv(),
    scratchObstacle: scratchObstacle(scratchDir),
    hasPidNamespaces: (await findPidNamespace()) !== undefined,
  };
}

function groupByUser(apps: readonly App[], host: ProcessHost) {
  const byUser = new Map<number, string[]>();
  const byFault = new Map<string, string[]>();
  const seen = new Map<string | undefined, { uid?: number; fault?: string }>();
  for (const { name, user } of apps) {
    const found = seen.get(user) ?? lookUp(user, host);
    seen.set(user, found);
    if (found.fault !== undefined) add(byFault, found.fault, name);
    if (found.uid !== undefined) add(byUser, found.uid, name);
  }
  return { byUser, faults: [...byFault].map(([fault, names]) => `${appsOf(names)}: ${fault}`) };
}

function add<Key>(names: Map<Key, string[]>, key: Key, name: string): void {
  const known = names.get(key);
  if (known) known.push(name);
  else names.set(key, [name]);
}

function lookUp(user: string | undefined, host: ProcessHost): { uid?: number; fault?: string } {
  try {
    const who = runAs(user, host.daemon, host);
    return 'account' in who ? { uid: who.account.uid } : {};
  } catch (error) {
    return { fault: (error as Error).message };
  }
}

function sharedUsers(byUser: ReadonlyMap<number, readonly string[]>): string[] {
  return [...byUser].flatMap(([uid, names]) => {
    if (uid === 0) {
      return [
        `${appsOf(names)}: runs as root and can do whatever root can on this host; write 'user: auto' if it need not`,
      ];
    }
    if (names.length === 1) return [];
    return [
      `${appsOf(names)}: run as one user (${uid}), so each can read, change and end the others; write 'user: auto'`,
    ];
  });
}

function ownUser({ daemon, ...databases }: ProcessHost, isRefused: boolean): string[] {
  const kept = isRefused ? [] : keptGroups(daemon).map((gid) => groupName(gid, databases));
  const groups = kept.length > 0 ? `, with its groups (${listed(kept)})` : '';
  return [
    `runtime process: the daemon is not root, so all apps run as its own user (${daemon.uid})${groups}: each can do what the ` +
      'daemon can, read what it keeps and leave the limits of its control group; run it as root and give each app a user, or use docker, for code that you do not trust',
  ];
}

function rangeWarnings({ users }: FindingsOptions, host: ProcessHost): string[] {
  const key = `runtimes.process.users: ${users.from}-${users.to}`;
  const taken = [...knownIds(host)].filter((id) => id >= users.from && id <= users.to);
  const overlapping = (from: number, to: number) => from <= users.to && to >= users.from;
  const subordinate = [
    ['/etc/subuid', host.subuid],
    ['/etc/subgid', host.subgid],
  ].flatMap(([file, text = '']) =>
    text.split('\n').flatMap((line) => {
      const [owner, from, count] = line.split(':');
      if (!owner || !overlapping(Number(from), Number(from) + Number(count) - 1)) return [];
      return [`${key} overlaps the users that ${file} gives to ${owner}; choose another range`];
    }),
  );
  const login = (name: string) => Number(new RegExp(`^\\s*${name}\\s+(\\d+)`, 'm').exec(host.loginDefs)?.[1]);
  return [
    ...(taken.length > 0
      ? [`${key} includes users or groups of /etc/passwd and /etc/group (${listed(taken)}), which are left out`]
      : []),
    ...subordinate,
    ...(overlapping(login('UID_MIN'), login('UID_MAX'))
      ? [`${key} overlaps the users that useradd gives, ${login('UID_MIN')}-${login('UID_MAX')} (/etc/login.defs)`]
      : []),
  ];
}

function confinementWarnings({ groups, setpriv, daemon, hasPidNamespaces }: ProcessHost, wanted: boolean): string[] {
  const outlives = 'a process that leaves its session and clears its environment outlives its instance';
  const bare = 'runtime process: there is no setpriv of util-linux, so apps can gain powers by setuid programs';
  if (setpriv === undefined && daemon.uid === 0) {
    return [`${bare}, have no limits, and ${outlives}; install util-linux`];
  }
  const remedy =
    daemon.uid === 0
      ? 'mount /sys/fs/cgroup so that root may write to it'
      : 'give the daemon a control group of its own (systemd: Delegate=yes and DelegateSubgroup=daemon)';
  const missed = groups.areAvailable ? 'a pid namespace' : 'control groups and a pid namespace';
  const pidRemedy = 'remove runtimes.process.pidNamespace: false';
  const limits = groups.missing.join(', ');
  return [
    ...(setpriv === undefined ? [`${bare}; install util-linux`] : []),
    ...(groups.missing.length > 0
      ? [
          `runtime process: limits of ${limits} are not enforced, as the daemon may not make such control groups; ${remedy}`,
        ]
      : []),
    ...(!needsPidNamespace(daemon, groups.areAvailable) || (wanted && hasPidNamespaces)
      ? []
      : [`runtime process: without ${missed} ${outlives}; ${wanted ? remedy : pidRemedy}`]),
  ];
}

function appsOf(names: readonly string[]): string {
  return `${names.length > 1 ? 'apps' : 'app'} ${listed(names)}`;
}

function listed(items: readonly (string | number)[]): string {
  const more = items.length - mostNames;
  return more > 0 ? `${items.slice(0, mostNames).join(', ')} and ${more} more` : items.join(', ');
}

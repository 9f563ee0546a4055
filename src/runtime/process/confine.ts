import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Account } from './account.js';
import type { Command } from './child.js';
import { capability, type Credentials } from './credentials.js';

export interface Confinement {
  readonly account: Account;
  readonly daemon: Credentials;
  /** Directories of the control group that it is to be in. */
  readonly groups: readonly string[];
  /** Open files of a process; undefined: as many as the daemon may have. */
  readonly files: number | undefined;
  /** Path of setpriv; undefined if there is none of use. */
  readonly setpriv: string | undefined;
  /** See findPidNamespace; undefined if it is to have none. */
  readonly pidNamespace?: readonly string[] | undefined;
}

const shell = '/bin/sh';
/** Variables that mean nothing to a loader or a shell; by one of them the chain is known from its first moment. */
const ours = 'FASTCONTAINER_';
/** Enters control groups and lowers the limit of files, to the daemon's own if that is lower, then becomes what follows `--`. */
const enter =
  'if [ -n "$1" ]; then ulimit -n "$1" 2>/dev/null || ulimit -n "$(ulimit -Hn)" || exit 125; fi; shift; ' +
  'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec "$@"';

/** Whether `launch` has to be told its user, since without setpriv nothing else can become it. */
export function canConfine({ daemon, account, setpriv }: Pick<Confinement, 'daemon' | 'account' | 'setpriv'>): boolean {
  return setpriv !== undefined || (account.uid === daemon.uid && account.gid === daemon.gid);
}

/**
 * The command as a chain of programs that each become the next: a shell that enters the control group, setpriv that drops user, groups,
 * capabilities and any way to gain them, a shell that puts on the app's environment, the app. What the environment says can steer a
 * loader or a shell, so that none of it is in force before the app's user is. With a pid namespace, two more stay: `unshare`, and a
 * shell that is process 1 there. It is made after the privileges are dropped, but under root, which alone can without a user namespace.
 */
export function confined(command: Command, confinement: Confinement): Command {
  const { account, groups, files, setpriv, pidNamespace = [] } = confinement;
  const { program, args, env, uid: _uid, gid: _gid, ...rest } = command;
  if (!canConfine(confinement)) return { ...command, uid: account.uid, gid: account.gid };
  const names = Object.keys(env).filter((name) => !name.startsWith(ours));
  const hidden = (index: number) => `_fastcontainer_${index}`;
  const put = names.map((name, index) => `${name}="$${hidden(index)}"`).join(' ');
  const dropped = ['PWD', 'OLDPWD', 'SHLVL', '_'].filter((name) => !Object.hasOwn(env, name));
  const dress = `export ${put}; unset ${[...dropped, ...names.map((_, index) => hidden(index))].join(' ')}; exec "$@"`;
  const drop = setpriv === undefined ? [] : [setpriv, ...privileges(confinement), '--'];
  const steps = confinement.daemon.uid === 0 ? [...pidNamespace, ...drop] : [...drop, ...pidNamespace];
  return {
    ...rest,
    ...(pidNamespace.length > 0 && { tellsSignals: true }),
    owner: { uid: account.uid, gid: account.gid },
    program: shell,
    args: [
      ...['-c', enter, 'sh', files === undefined ? '' : String(files)],
      ...groups.map((group) => join(group, 'cgroup.procs')),
      '--',
      ...steps,
      ...[shell, '-c', dress, 'sh', program, ...args],
    ],
    env: Object.fromEntries([
      ...Object.entries(env).filter(([name]) => name.startsWith(ours)),
      ...names.map((name, index) => [hidden(index), env[name] ?? '']),
    ]) as Record<string, string>,
  };
}

/** What setpriv is told: an app that is root keeps its capabilities, else it would not be what was asked for. */
function privileges({ account, daemon }: Confinement): string[] {
  const { uid, gid, groups } = account;
  const isRoot = uid === 0;
  const may = (bit: bigint) => daemon.uid === 0 || (daemon.ambient & bit) !== 0n;
  return [
    ...(uid === daemon.uid ? [] : [`--reuid=${uid}`]),
    ...(gid === daemon.gid ? [] : [`--regid=${gid}`]),
    ...(may(capability.setgid) ? [groups.length > 0 ? `--groups=${groups.join(',')}` : '--clear-groups'] : []),
    ...(isRoot ? [] : ['--inh-caps=-all', '--ambient-caps=-all']),
    ...(isRoot || !may(capability.setpcap) ? [] : ['--bounding-set=-all']),
    '--no-new-privs',
  ];
}

/** The setpriv of util-linux; that of BusyBox cannot become another user. */
export async function findSetpriv(): Promise<string | undefined> {
  for (const path of ['/usr/bin/setpriv', '/bin/setpriv', '/usr/local/bin/setpriv']) {
    if (!existsSync(path)) continue;
    const version = await promisify(execFile)(path, ['--version'], { env: {} }).catch(() => undefined);
    if (version?.stdout.includes('util-linux')) return path;
  }
  return undefined;
}

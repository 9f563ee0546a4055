import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Account } from '../kept/account.js';
import type { Command } from '../kept/child.js';
import { capability, type Credentials } from '../kept/credentials.js';

export interface Confinement {
  readonly account: Account;
  readonly daemon: Credentials;
  /** Directories of the app's control group. */
  readonly groups: readonly string[];
  /** Limit of open files per process; if undefined, that of the daemon. */
  readonly files: number | undefined;
  /** Path of a usable setpriv; undefined if there is none. */
  readonly setpriv: string | undefined;
  /** See findPidNamespace; undefined if the app gets none. */
  readonly pidNamespace?: readonly string[] | undefined;
}

const shell = '/bin/sh';
/** Prefix of variables that mean nothing to a loader or a shell. One of them marks the chain from its first moment. */
const ours = 'FASTCONTAINER_';
/** Lowers the limit of open files, to the daemon's if that is lower, enters the control groups, then becomes what follows `--`. */
const enter =
  'if [ -n "$1" ]; then ulimit -n "$1" 2>/dev/null || ulimit -n "$(ulimit -Hn)" || exit 125; fi; shift; ' +
  'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec "$@"';

/** Whether a chain of programs can start the app. If not, Node must change the user, as there is no setpriv. */
export function canConfine({ daemon, account, setpriv }: Pick<Confinement, 'daemon' | 'account' | 'setpriv'>): boolean {
  return setpriv !== undefined || (account.uid === daemon.uid && account.gid === daemon.gid);
}

/**
 * The command as a chain of programs that each become the next: a shell that enters the control group; setpriv, which drops user,
 * groups, capabilities and all ways to regain them; a shell that sets the app's environment; the app. The environment could steer a
 * loader or a shell, so it takes effect only after the user is changed.
 *
 * A pid namespace adds two programs that stay: `unshare`, and a shell as process 1. It is made after privileges are dropped, or before
 * under root, since only root can make one without a user namespace.
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

/** Arguments of setpriv. An app that runs as root keeps its capabilities, as the operator asked for that. */
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

/** Finds the setpriv of util-linux; that of BusyBox cannot change the user. */
export async function findSetpriv(): Promise<string | undefined> {
  for (const path of ['/usr/bin/setpriv', '/bin/setpriv', '/usr/local/bin/setpriv']) {
    if (!existsSync(path)) continue;
    const version = await promisify(execFile)(path, ['--version'], { env: {} }).catch(() => undefined);
    if (version?.stdout.includes('util-linux')) return path;
  }
  return undefined;
}

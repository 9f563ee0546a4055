import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Credentials } from './credentials.js';

/** One that starts no program of its own is 1 there: it reaps what loses its parents, and its end is the end of all. */
const init = '"$@"; exit $?';

/**
 * The start of a command line that gives a program a pid namespace of its own, with a /proc that shows it; undefined if this process
 * may not make one. Nothing leaves it: what loses its parents stays below the program that is started, and ends with it. Without root it
 * takes a user namespace, in which everybody else's files are shown as those of nobody.
 */
export async function findPidNamespace(): Promise<readonly string[] | undefined> {
  const unshare = ['/usr/bin/unshare', '/bin/unshare'].find((path) => existsSync(path));
  if (unshare === undefined) return undefined;
  const user = process.geteuid?.() === 0 ? [] : ['--user', '--map-current-user'];
  const words = [
    unshare,
    ...user,
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    '--',
    '/bin/sh',
    '-c',
    init,
    'sh',
  ];
  const [program = '', ...args] = words;
  // The shell tells the number that it has in there.
  const tried = promisify(execFile)(program, [...args, '/bin/sh', '-c', 'echo $PPID'], { env: {}, cwd: '/' });
  return (await tried.catch(() => undefined))?.stdout === '1\n' ? words : undefined;
}

/** An app of the daemon's own user can leave a control group as the daemon can. */
export function needsPidNamespace(daemon: Credentials, hasGroups: boolean): boolean {
  return daemon.uid !== 0 || !hasGroups;
}

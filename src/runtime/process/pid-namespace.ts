import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Credentials } from '../kept/credentials.js';

/** Script of the shell that is process 1: it runs the program, reaps orphans, and its end ends everything in the namespace. */
const init = '"$@"; exit $?';

/**
 * The start of a command line that gives a program its own pid namespace and /proc; undefined if this process may not make one. Nothing
 * can leave it: orphans stay below the started program and end with it. Without root this takes a user namespace, which shows the files
 * of other users as those of nobody.
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
  // The shell prints its parent's pid inside the namespace, which must be 1.
  const tried = promisify(execFile)(program, [...args, '/bin/sh', '-c', 'echo $PPID'], { env: {}, cwd: '/' });
  return (await tried.catch(() => undefined))?.stdout === '1\n' ? words : undefined;
}

/** Whether apps need a pid namespace: those of the daemon's own user could leave a control group, just as the daemon can. */
export function needsPidNamespace(daemon: Credentials, hasGroups: boolean): boolean {
  return daemon.uid !== 0 || !hasGroups;
}

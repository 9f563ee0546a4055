import { statSync } from 'node:fs';
import type { App } from '../../model/app.js';
import type { ProcessIdentity } from '../../machine/proc-fs.js';
import type { Account } from '../kept/account.js';
import type { Command } from '../kept/child.js';
import { canConfine, type Confinement, confined } from './confine.js';
import { environment, type EnvironmentOptions } from '../kept/environment.js';
import { faultOf } from './programs.js';

export interface StartOptions extends Omit<EnvironmentOptions, 'home'> {
  readonly confinement: Confinement;
  /** Starts the command; rejects with the system's error: see `startChild`. */
  readonly launch: (command: Command) => Promise<ProcessIdentity>;
}

/**
 * Starts the app's command. Resolves once it runs; throws an Error that says what is wrong with the command, the directory or the
 * user, and what to do.
 */
export async function start({ launch, confinement, ...told }: StartOptions): Promise<ProcessIdentity> {
  const { app } = told.spec;
  const [program, ...args] = app.command ?? [];
  if (!program) throw new Error(`app ${app.name} has no command to run; set 'command'`);
  const { account } = confinement;
  const env = environment({ ...told, home: account.home });
  try {
    await refuseUnrunnable(app, program, env['PATH'] ?? '', confinement);
    return await launch(confined({ program, args, env, cwd: app.cwd }, confinement));
  } catch (error) {
    throw startError(app, program, account, error as NodeJS.ErrnoException);
  }
}

/** Throws if the command cannot be run. Needed only for a chain of programs: otherwise the system itself reports it exactly. */
async function refuseUnrunnable(app: App, program: string, path: string, confinement: Confinement): Promise<void> {
  if (!canConfine(confinement)) return;
  const { account, setpriv } = confinement;
  const code = await faultOf({ program, cwd: app.cwd ?? process.cwd(), path, account, setpriv });
  if (code !== undefined) throw Object.assign(new Error(code), { code });
}

function startError(app: App, command: string, account: Account, error: NodeJS.ErrnoException): Error {
  const why = (app.cwd === undefined ? undefined : directoryFault(app.cwd)) ?? commandFault(app, account, error);
  return new Error(`cannot run '${command}' of app ${app.name}: ${why}`, { cause: error });
}

/** Why the directory cannot be used: the system's error is the same for a missing program and a missing directory. */
function directoryFault(cwd: string): string | undefined {
  try {
    return statSync(cwd).isDirectory() ? undefined : `its cwd ${cwd} is not a directory; correct 'cwd'`;
  } catch {
    return `there is no directory ${cwd}; create it, or correct 'cwd'`;
  }
}

function commandFault(app: App, { uid }: Account, error: NodeJS.ErrnoException): string {
  const asUser = app.user === undefined ? '' : ` by user ${app.user}`;
  const faults: Record<string, string> = {
    ENOENT:
      'there is no such program on PATH, or what its #! line names is missing; install it, or correct the command',
    EACCES: `it is not executable${asUser}, or its directory may not be entered; check the permissions`,
    CWD:
      `its user (${uid}) may not enter ${app.cwd ?? process.cwd()}, its working directory; set 'cwd' to one that it may enter, ` +
      'or give it access to this one and all above it',
    ENOEXEC: 'it is not a program for this machine; a script needs a #! line',
    EPERM: `the system does not allow it to run${asUser}; check the permissions`,
    ENOTDIR: 'a part of its path is not a directory; correct the command',
    EAGAIN: 'the machine has no room for another process; raise the limit of processes, or run fewer apps',
    ENOMEM: 'the machine has no memory left; run fewer apps',
    EMFILE: 'too many files are open; raise the limit of open files of the dispatcher',
    E2BIG: 'arguments and environment are too large; shorten them',
  };
  return faults[error.code ?? ''] ?? error.message;
}

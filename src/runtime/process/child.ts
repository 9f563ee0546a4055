import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { identify, type ProcessIdentity } from '../../machine/proc-fs.js';

/** A program with all that it is started with. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** All of its environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** That of the process that starts it where it is undefined. */
  readonly cwd?: string | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** The user that it becomes by itself, who may open its output again by name. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** A shell waits for it, which tells its death by a signal as an exit code above 128. */
  readonly tellsSignals?: boolean;
}

/**
 * Starts a program as a child of this process, in a session and group of its own, so that it outlives this process. Its
 * stdout and stderr go to the descriptor `output`. Resolves once it runs; rejects with the system's error. `onExit` is
 * called once when it has ended, possibly before.
 */
export async function startChild(
  { program, args, env, cwd, uid, gid, tellsSignals }: Command,
  output: number,
  onExit: (cause: string, process: ProcessIdentity) => void,
): Promise<ProcessIdentity> {
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', output, output],
    env,
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  });
  // Before anything is waited for: an exit must not be missed, and until it is reaped the pid cannot be another's.
  const identity = identify(child.pid ?? 0);
  child.once('exit', (code, signal) => {
    const told = signal ?? (tellsSignals ? signalOf(code ?? 0) : undefined);
    onExit(told ? `signal ${told}` : `exit code ${code ?? 0}`, identity);
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.unref();
  return identity;
}

function signalOf(code: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
}

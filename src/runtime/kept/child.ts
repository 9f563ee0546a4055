import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { identify, type ProcessIdentity } from '../../machine/proc-fs.js';

/** A program with all that it needs to start. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** Working directory; if undefined, that of the process that starts it. */
  readonly cwd?: string | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** The user that it becomes by itself, and that may open its output by name. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Whether a shell waits for it, which reports the end by a signal as an exit code above 128. */
  readonly tellsSignals?: boolean;
}

/**
 * Starts a program as a child in its own session and process group, so that it outlives this process, with stdout and stderr on the
 * descriptor `output`. Resolves once it runs; rejects with the system's error. Calls `onExit` once when it has ended, perhaps before
 * that.
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
  // Before any await: an exit must not be missed, and until the child is reaped its pid cannot be reused.
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

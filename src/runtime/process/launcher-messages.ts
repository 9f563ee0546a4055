import type { ProcessIdentity } from '../../proc-fs.js';
import type { Command } from './child.js';

/** What a dispatcher tells its launcher. */
export interface LaunchOrder {
  /** Names the order in the answers; never used twice. */
  readonly order: number;
  readonly command: Command;
  /** Absolute path of an existing file that takes stdout and stderr. */
  readonly output: string;
}

/** What a launcher tells its dispatcher: `ready` first, one of the next three for each order, and each end of a process. */
export type LauncherReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'started'; readonly order: number; readonly process: ProcessIdentity }
  /** The command cannot be run, by the system's error. */
  | { readonly kind: 'failed'; readonly order: number; readonly message: string; readonly code?: string | undefined }
  /** The launcher cannot do it, which says nothing of the command. */
  | { readonly kind: 'declined'; readonly order: number }
  | { readonly kind: 'exited'; readonly order: number; readonly process: ProcessIdentity; readonly cause: string };

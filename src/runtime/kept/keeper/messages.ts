import type { ProcessIdentity } from '../../../machine/proc-fs.js';
import type { Command } from '../child.js';

/** A keeper of another version talks only to its own dispatcher; see docs/decisions/keeper.md. */
export const protocolVersion = 1;

/** An app as its keeper knows it. */
export interface Kept {
  readonly id: string;
  readonly app: string;
  readonly process: ProcessIdentity;
  /** Why it ended; undefined while it runs. */
  readonly cause?: string | undefined;
  /** When it ended, in epoch milliseconds; keepers of older versions do not say. */
  readonly endedAt?: number | undefined;
}

export interface Exited extends Kept {
  readonly cause: string;
  /** Whether it happened before this dispatcher was there. */
  readonly late: boolean;
}

/** A dispatcher's message. `order` identifies it in the answer, and is unique on a connection. */
export type Order =
  /** The first message. An heir gets exits and output once the keeper's own dispatcher is gone; a guest gets only answers. */
  | { readonly kind: 'hello'; readonly v: number; readonly role: Role }
  | {
      readonly kind: 'start';
      readonly order: number;
      readonly id: string;
      readonly app: string;
      readonly command: Command;
    }
  /** Ends and forgets an instance: kills its main process and group if they still run, and removes its output. */
  | { readonly kind: 'release'; readonly order: number; readonly id: string };

export type Role = 'owner' | 'heir' | 'guest';

/** A keeper's message: `hello` first, then answers to orders, and events. */
export type Report =
  | { readonly kind: 'hello'; readonly v: number; readonly kept: readonly Kept[] }
  | { readonly kind: 'started'; readonly order: number; readonly process: ProcessIdentity }
  /** The command cannot be run; has the system's error. */
  | { readonly kind: 'failed'; readonly order: number; readonly message: string; readonly code?: string | undefined }
  | { readonly kind: 'released'; readonly order: number }
  /** The app has ended; its file has all output until then. */
  | ({ readonly kind: 'exited' } & Exited)
  /** `data` is base64; `lost` bytes before it were dropped as too many. */
  | { readonly kind: 'output'; readonly id: string; readonly app: string; readonly data: string; readonly lost: number }
  /** A failure outside any order, for the log. */
  | { readonly kind: 'fault'; readonly message: string };

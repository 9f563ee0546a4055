import type { ProcessIdentity } from '../../../machine/proc-fs.js';
import type { Command } from '../child.js';

/** A keeper of another version is spoken to by its own dispatcher only; see docs/decisions/keeper.md. */
export const protocolVersion = 1;

/** An app as its keeper knows it. */
export interface Kept {
  readonly id: string;
  readonly app: string;
  readonly process: ProcessIdentity;
  /** Why it ended; undefined while it runs. */
  readonly cause?: string | undefined;
}

export interface Exited extends Kept {
  readonly cause: string;
  /** It happened before whom this is told was there. */
  readonly late: boolean;
}

/** What a dispatcher says. `order` names it in the answer and is never used twice on a connection. */
export type Order =
  /** Said first. An heir is told of exits and output once the keeper's own dispatcher is gone; a guest is only answered. */
  | { readonly kind: 'hello'; readonly v: number; readonly role: Role }
  | {
      readonly kind: 'start';
      readonly order: number;
      readonly id: string;
      readonly app: string;
      readonly command: Command;
    }
  /** The instance is over: what still runs of its main process is killed, its output goes, and it is forgotten. */
  | { readonly kind: 'release'; readonly order: number; readonly id: string };

export type Role = 'owner' | 'heir' | 'guest';

/** What a keeper says: `hello` first, then answers to orders, then what happens. */
export type Report =
  | { readonly kind: 'hello'; readonly v: number; readonly kept: readonly Kept[] }
  | { readonly kind: 'started'; readonly order: number; readonly process: ProcessIdentity }
  /** The command cannot be run, by the system's error. */
  | { readonly kind: 'failed'; readonly order: number; readonly message: string; readonly code?: string | undefined }
  | { readonly kind: 'released'; readonly order: number }
  /** Everything that it wrote until then is in its file. */
  | ({ readonly kind: 'exited' } & Exited)
  /** `data` is base64; `lost` bytes before it were too many to be told. */
  | { readonly kind: 'output'; readonly id: string; readonly app: string; readonly data: string; readonly lost: number }
  /** Something failed that concerns no order; for the log. */
  | { readonly kind: 'fault'; readonly message: string };

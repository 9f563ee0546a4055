import type { AppChange } from '../cmdb.js';
import type { Keys } from './keys.js';
import type { Command, Link } from './link.js';
import type { Records } from './records.js';

/** What the steps of one `apply` share. */
export interface ApplyContext {
  readonly link: Link;
  readonly keys: Keys;
  readonly records: Records;
  readonly origins: NonNullable<AppChange['origins']>;
  /** The command that tells of a change of an app's own record. */
  readonly append: (app: string) => Command;
  /** Apps that were written, and of which it is not known yet that all that belongs to it was done. */
  readonly touched: Set<string>;
}

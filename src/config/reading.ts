import type { App } from '../model/app.js';
import type { Settings } from './config.js';
import type { Problem } from './problem.js';

/** What the files say, as of one reading. The main file is sound; app files that are not are among the problems. */
export interface Reading {
  readonly settings: Settings;
  /** In the order of their files. An app that says the same as before is the same object. */
  readonly apps: readonly FileApp[];
  /** Those that are new or another object since the reading before. */
  readonly changed: readonly FileApp[];
  /** Names of apps that were there at the reading before. */
  readonly removed: readonly string[];
  /** Apps that a file held before and that cannot be read from it now, because it has a fault. */
  readonly held: readonly HeldApp[];
  /** Of app files. At most `mostProblems`; the last one counts the others. */
  readonly problems: readonly Problem[];
  /** Settings that are allowed but probably a mistake, in words. At most `mostNotices`; the last one counts the others. */
  readonly notices: readonly string[];
  /** The same object while nothing of it changes. */
  readonly places: Places;
}

export interface FileApp {
  readonly app: App;
  /** Absolute path. */
  readonly file: string;
  /** Its file is one that a customer writes. */
  readonly byCustomer: boolean;
}

export interface HeldApp {
  readonly name: string;
  readonly file: string;
}

/** What to watch for changes of files. */
export interface Places {
  /** Absolute patterns of the app files. */
  readonly patterns: readonly string[];
  /** Paths that symbolic links to files lead to. */
  readonly targets: readonly string[];
  /** Directories that exist. The key has device and inode as well: another directory may take the place of one. */
  readonly directories: readonly (readonly [key: string, path: string])[];
}

export const mostProblems = 100;
export const mostNotices = 20;

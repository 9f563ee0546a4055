import type { App } from '../model/app.js';
import type { Settings } from './config.js';
import type { Problem } from './problem.js';

/** What the files say, as of one reading. The main file is sound; app files that are not are among the problems. */
export interface Reading {
  readonly settings: Settings;
  /** In the order of their files. An app that says the same as before is the same object. */
  readonly apps: readonly FileApp[];
  /** Those of them that are new since the reading before, or another object. */
  readonly changed: readonly FileApp[];
  /** Names of apps that were there at the reading before. */
  readonly removed: readonly string[];
  /** Apps that their files held before and do not say soundly now. */
  readonly held: readonly HeldApp[];
  /** Of app files. At most `mostProblems`; the last one counts the others. */
  readonly problems: readonly Problem[];
  /** Settings that are allowed and probably a mistake, in words. At most `mostNotices`; the last one counts the others. */
  readonly notices: readonly string[];
  /** The same object while they are the same. */
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

/** Where files may appear, change and go. */
export interface Places {
  /** Absolute patterns of the app files. */
  readonly patterns: readonly string[];
  /** Paths that symbolic links to files lead to. */
  readonly targets: readonly string[];
  /** Directories that exist. A key holds the path and which directory it is: another one may have taken its place. */
  readonly directories: readonly (readonly [key: string, path: string])[];
}

export const mostProblems = 100;
export const mostNotices = 20;

import type { Processes } from '../processes.js';

/** What a relay is started with. */
export interface RelayOptions {
  readonly processes: Processes;
  /** For its files. */
  readonly dir: string;
  /** Words that put it on its core. */
  readonly pinned: readonly string[];
  /** Port of the upstream on loopback. */
  readonly upstreamPort: number;
}

/** A program that is measured beside the dispatcher. */
export interface Relay {
  readonly name: string;
  /** Program that has to be installed, and the Debian package that has it. */
  readonly needs?: { readonly program: string; readonly package: string };
  /** Resolves when it accepts requests, to where and to its first process. */
  readonly start: (options: RelayOptions) => Promise<{ readonly pid: number; readonly port: number }>;
}

import type { Config } from '../../config/config.js';

/** What a check found. Problems keep the daemon or an app from working; warnings do not. */
export interface Findings {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** One check of the host. What it throws counts as a problem. */
export interface HostCheck {
  readonly name: string;
  run(): Promise<Findings>;
}

/** Checks that need an adapter, such as the store or Docker Engine; the composition root knows them. */
export type ExtraChecks = (config: Config) => readonly HostCheck[];

import type { Config } from '../../config/config.js';

/** What a look at the host found. Problems keep the daemon or an app from working; warnings do not. */
export interface Findings {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** A look at one side of the host. One that throws counts as a problem. */
export interface HostCheck {
  readonly name: string;
  run(): Promise<Findings>;
}

/** Checks that need an adapter, such as the store or Docker Engine; the composition root knows them. */
export type ExtraChecks = (config: Config) => readonly HostCheck[];

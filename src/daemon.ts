import type { Logger } from 'pino';
import type { Config } from './config/config.js';
import type { Environment } from './config/interpolate.js';

export interface DaemonOptions {
  readonly config: Config;
  readonly configFile: string;
  readonly logger: Logger;
  /** Ends the containers with the daemon. */
  readonly stopApps: boolean;
  readonly env: Environment;
}

export interface Daemon {
  /** Resolves to the addresses when requests are accepted. */
  start(): Promise<{ http: string[]; admin: string }>;
  reload(next: Config, changes: string[]): Promise<void>;
  /** Drains. Re-entrant. */
  close(): Promise<void>;
  /** Ends at once; containers run on. Re-entrant. */
  destroy(error?: Error): Promise<void>;
}

/** Stub: the composition root takes its place. */
export function createDaemon(_options: DaemonOptions): Daemon {
  const missing = (): Promise<never> => Promise.reject(new Error('the daemon is not part of this build'));
  return { start: missing, reload: missing, close: () => Promise.resolve(), destroy: () => Promise.resolve() };
}

import { existsSync } from 'node:fs';
import { lmdbPath, storeWarnings } from '../../config/cmdb-url.js';
import type { Config } from '../../config/config.js';
import { privateDirectoryFault } from '../../machine/private-directory.js';
import { readSigningKey } from '../../machine/signing-key.js';
import type { Findings } from './host-check.js';

/** Whether other users could write the daemon's state or read its signing key. Creates nothing. */
export function checkStore({ cmdb, stateDir, runtimes }: Config): Findings {
  const directories = new Set([stateDir, runtimes.process.stateDir, runtimes.oci.stateDir, lmdbPath(cmdb.url)]);
  const faults = [...directories].map((path) => path && privateDirectoryFault(path));
  return {
    problems: [...faults, cmdb.signingKey === undefined ? keyFault(stateDir) : undefined].filter(
      (fault) => !!fault,
    ) as string[],
    warnings: storeWarnings(cmdb.url),
  };
}

function keyFault(stateDir: string): string | undefined {
  try {
    if (existsSync(stateDir)) readSigningKey(stateDir);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

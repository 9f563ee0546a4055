import type { Logger } from 'pino';

/**
 * How much a container may write to its own file system, if the engine's storage driver can bound that at all. Only trying
 * tells: overlay2 can on xfs that is mounted with pquota, and else refuses to create a container.
 */
export interface DiskQuota {
  /** Undefined once the engine has refused it. */
  bytes(): number | undefined;
  /** Whether this is why a container with a bound was refused, as several may be that are created at once; none is tried afterwards. */
  isRefused(reason: string): boolean;
}

export function diskQuota(bytes: number | undefined, logger: Logger): DiskQuota {
  let wanted = bytes;
  return {
    bytes: () => wanted,
    isRefused(reason) {
      if (!/storage-opt|quota/i.test(reason)) return false;
      if (wanted !== undefined)
        logger.warn({ reason }, 'the engine cannot bound what containers write to their own file system');
      wanted = undefined;
      return true;
    },
  };
}

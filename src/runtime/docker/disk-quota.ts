import type { Logger } from 'pino';

/**
 * How much a container may write to its own file system, if the engine's storage driver can limit that. Only an attempt can tell:
 * overlay2 refuses to create such a container except on xfs mounted with pquota.
 */
export interface DiskQuota {
  /** The limit; undefined if there is none, or once the engine has refused it. */
  bytes(): number | undefined;
  /** Whether the engine refused a container because of the limit. If so, no limit is tried from then on. */
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

/**
 * How much a container may write to its own file system, if the engine's storage driver can bound that at all. Only trying
 * tells: overlay2 can on xfs that is mounted with pquota, and else refuses to create a container.
 */
export interface DiskQuota {
  /** Undefined once the engine has refused it. */
  bytes(): number | undefined;
  /** Whether this is why a container was refused; then it is not tried again. */
  isRefused(reason: string): boolean;
}

export function diskQuota(bytes: number | undefined): DiskQuota {
  let wanted = bytes;
  return {
    bytes: () => wanted,
    isRefused(reason) {
      if (wanted === undefined || !/storage-opt|quota/i.test(reason)) return false;
      wanted = undefined;
      return true;
    },
  };
}

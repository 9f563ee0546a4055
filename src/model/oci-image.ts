/** What an app of the `oci` runtime has as its root file system. */
export type OciImage =
  /** The programs and libraries of the host, read-only. */
  | { readonly kind: 'host' }
  /** A directory with a root file system, below a fresh layer for what the instance writes. */
  | { readonly kind: 'rootfs'; readonly path: string };

/** Without commas, colons and backslashes, which mean something to overlayfs. */
const rootfs = /^rootfs:((?:\/[A-Za-z0-9_@%+=.-]+)+)$/;

/** The image that `image` of an app names, without the key `host`; undefined if it names none. */
export function ociImage(image = 'host'): OciImage | undefined {
  if (image === 'host') return { kind: 'host' };
  const path = rootfs.exec(image)?.[1];
  if (path === undefined || path.split('/').some((part) => part === '.' || part === '..')) return undefined;
  return { kind: 'rootfs', path };
}

export const ociImageExpects = '`host` or `rootfs:/PATH` of a directory, in letters, digits and _@%+=.-';

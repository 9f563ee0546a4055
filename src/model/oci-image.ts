import { isImageName } from './image-name.js';

/** What an app of the `oci` runtime has as its root file system. */
export type OciImage =
  /** The programs and libraries of the host, read-only. */
  | { readonly kind: 'host' }
  /** A directory with a root file system, below a fresh layer for what the instance writes. */
  | { readonly kind: 'rootfs'; readonly path: string }
  /** An image with a configuration of its own, which is unpacked once; `path` is where it is on the host, if it is there. */
  | { readonly kind: 'packed'; readonly source: string; readonly path?: string };

/** Without commas, colons and backslashes, which mean something to overlayfs and in names of images. */
const path = '((?:/[A-Za-z0-9_@%+=.-]+)+)';
const rootfs = new RegExp(`^rootfs:${path}$`);
const onHost = new RegExp(`^(?:docker-archive:${path}|oci:${path}(?::\\w[\\w.-]{0,127})?)$`);
const registry = /^docker:\/\/([^/]+\/.+)$/;

/** The image that `image` of an app names, without the key `host`; undefined if it names none. */
export function ociImage(image = 'host'): OciImage | undefined {
  if (image === 'host') return { kind: 'host' };
  if (isImageName(registry.exec(image)?.[1] ?? '')) return { kind: 'packed', source: image };
  const directory = rootfs.exec(image)?.[1];
  const [, archive, layout] = onHost.exec(image) ?? [];
  const found = directory ?? archive ?? layout;
  if (found === undefined || found.split('/').some((part) => part === '.' || part === '..')) return undefined;
  return directory === undefined ? { kind: 'packed', source: image, path: found } : { kind: 'rootfs', path: found };
}

export const ociImageExpects =
  '`host`, `rootfs:/PATH`, `oci:/PATH` or `oci:/PATH:TAG`, `docker-archive:/FILE`, or `docker://HOST/NAME:TAG`, with paths in letters, ' +
  'digits and _@%+=.-';

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

export interface TarEntry {
  readonly name: string;
  readonly data?: Buffer;
  readonly mode?: number;
  /** Of ustar: 1 is a hard link, 2 a symbolic one, 3 a character device, 5 a directory, 6 a pipe. */
  readonly type?: '0' | '1' | '2' | '3' | '5' | '6';
  readonly link?: string;
}

/** A tar archive (ustar) with just these entries, whatever they lead to. */
export function tar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap(({ name, data = Buffer.alloc(0), mode = 0o755, type = '0', link = '' }) => {
    const header = Buffer.alloc(512);
    const put = (text: string, at: number) => header.write(text, at, 'latin1');
    put(name, 0);
    put(`${mode.toString(8).padStart(7, '0')}\0${'0'.repeat(7)}\0${'0'.repeat(7)}\0`, 100);
    put(`${data.length.toString(8).padStart(11, '0')}\0${'0'.repeat(11)}\0${' '.repeat(8)}${type}${link}`, 124);
    put('ustar\x0000', 257);
    // Numbers of a device: those of /dev/null.
    if (type === '3') put('0000001\x000000003\0', 329);
    const sum = header.reduce((total, byte) => total + byte, 0);
    put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return [header, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** The host's static busybox, as a shell and all that it can be. */
export function busyboxEntries(): TarEntry[] {
  const data = readFileSync(['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path)) ?? '/bin/busybox');
  const links = ['sh', 'sleep', 'id', 'pwd', 'cat', 'ls', 'httpd'];
  return [
    { name: 'bin/', type: '5' },
    { name: 'bin/busybox', data },
    ...links.map((name) => ({ name: `bin/${name}`, type: '2' as const, link: 'busybox' })),
  ];
}

export interface LayoutOptions {
  readonly layers: readonly Buffer[];
  readonly config?: Record<string, unknown>;
  readonly tag?: string;
}

/** Writes an image as an OCI layout. Returns the digest of its configuration, and of its manifest. */
export function writeLayout(directory: string, { layers, config = {}, tag = 'v1' }: LayoutOptions) {
  const blobs = join(directory, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (mediaType: string, data: Buffer | object) => {
    const bytes = Buffer.isBuffer(data) ? data : Buffer.from(JSON.stringify(data));
    const hex = hexOf(bytes);
    writeFileSync(join(blobs, hex), bytes);
    return { mediaType: `application/vnd.oci.image.${mediaType}`, digest: `sha256:${hex}`, size: bytes.length };
  };
  const packed = layers.map((layer) => put('layer.v1.tar+gzip', gzipSync(layer)));
  const rootfs = { type: 'layers', diff_ids: layers.map((layer) => `sha256:${hexOf(layer)}`) };
  const history = layers.map(() => ({ created_by: 'test' }));
  const about = put('config.v1+json', {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config,
    rootfs,
    history,
  });
  const manifest = put('manifest.v1+json', {
    schemaVersion: 2,
    mediaType: manifestType,
    config: about,
    layers: packed,
  });
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(directory, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  return { config: about.digest, manifest: manifest.digest, layers: packed.map(({ digest }) => digest) };
}

export const manifestType = 'application/vnd.oci.image.manifest.v1+json';

function hexOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

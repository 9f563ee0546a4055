import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants, existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { identify, isRunning, type ProcessIdentity } from '../../machine/proc-fs.js';
import type { Clock } from '../../model/clock.js';
import type { OciImage } from '../../model/oci-image.js';
import { shared } from '../../model/shared-work.js';
import { unlessAborted } from '../../model/unless-aborted.js';
import { messageOf } from '../output/printable.js';
import { boundedRun } from './bounded-run.js';
import { usualPath } from './command.js';
import { type ImageConfig, imageConfig } from './image-config.js';

export type PackedImage = Extract<OciImage, { kind: 'packed' }>;

export interface ImagesOptions {
  /** Several dispatchers of one machine may share it. */
  readonly directory: string;
  /** Limit of one image, packed and unpacked. */
  readonly maxBytes: number;
  /** Limit of those together that no container uses. */
  readonly keptBytes: number;
  /** Digests of the images that containers use. */
  readonly inUse: () => Promise<ReadonlySet<string>>;
  readonly logger: Logger;
  readonly clock: Clock;
}

export interface StoredImage {
  readonly digest: string;
  /** Directory of its root file system, which is never written to. */
  readonly path: string;
  readonly config: ImageConfig;
}

/** How long an image stays that a boot may be about to use, and one that nothing used. */
const restMs = 3_600_000;
const unusedMs = 7 * 86_400_000;
const progressEveryMs = 10_000;
const sweepEveryMs = 600_000;
const largestDocument = 4 * 1024 * 1024;
const digestPattern = /^sha256:([0-9a-f]{64})$/;

/**
 * Images that were unpacked, each once: `DIGEST` holds the root file system and `config.json` of the image with this digest, and
 * appears whole. `refs/KEY` says which digest a name has. A directory `new-…` belongs to a fetch under way.
 */
export class Images {
  readonly #options: ImagesOptions;
  readonly #fetching = new Map<string, Promise<StoredImage>>();
  readonly #closing = new AbortController();
  #sweptAt = -Infinity;
  #sweeping: Promise<void> | undefined;

  constructor(options: ImagesOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    await mkdir(this.#path('refs'), { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#options.directory)) {
      if (name.startsWith('new-') && !isRunning(ownerOf(name))) await this.#removeTree(name);
    }
  }

  /** The image, which is fetched if it is not here; that goes on if the signal aborts. Throws an Error that says what to do. */
  async of(image: PackedImage, app: string, signal: AbortSignal): Promise<StoredImage> {
    try {
      const key = await keyOf(image);
      const known = await this.#known(key);
      if (known) return known;
      const fetching = shared(this.#fetching, key, () => this.#fetch(image, key, app));
      fetching.catch(() => {});
      return await unlessAborted(fetching, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw new Error(`app ${app}: the image ${image.source} cannot be used: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Removes what nothing uses, unless that was done a moment ago. */
  sweep(): void {
    const { clock, logger } = this.#options;
    if (clock.monotonic() - this.#sweptAt < sweepEveryMs || this.#closing.signal.aborted) return;
    this.#sweptAt = clock.monotonic();
    this.#sweeping = this.#sweep().catch((error: unknown) =>
      logger.warn({ err: error }, 'could not remove old images'),
    );
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the oci runtime was closed'));
    await Promise.allSettled([...this.#fetching.values(), this.#sweeping]);
  }

  async #known(key: string): Promise<StoredImage | undefined> {
    const digest = await readFile(this.#path('refs', key), 'utf8').catch(() => '');
    return /^[0-9a-f]{64}$/.test(digest) ? this.#stored(digest) : undefined;
  }

  async #stored(digest: string): Promise<StoredImage | undefined> {
    const directory = this.#path(digest);
    try {
      // First, so that it is not removed meanwhile.
      await this.#touch(directory);
      const config = imageConfig(await readBounded(join(directory, 'config.json')));
      return { digest, path: join(directory, 'rootfs'), config };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** One dispatcher at a time fetches an image; those that have waited find it. */
  async #fetch(image: PackedImage, key: string, app: string): Promise<StoredImage> {
    const lock = await lockFile(this.#path(`lock-${key.slice(0, 1)}`), this.#closing.signal);
    const name = nameFor(identify(process.pid));
    try {
      const known = await this.#known(key);
      if (known) return known;
      await mkdir(this.#path(name), { mode: 0o700 });
      const digest = await this.#unpack(image, app, this.#path(name));
      await this.#note(key, digest, name);
      const stored = await this.#stored(digest);
      if (!stored) throw new Error('it was removed as soon as it was here');
      return stored;
    } finally {
      lock.stdin?.end();
      await this.#removeTree(name);
    }
  }

  /** Unpacks an image by way of a directory of its own. Resolves to its digest. */
  async #unpack({ source }: PackedImage, app: string, directory: string): Promise<string> {
    const { maxBytes, clock, logger } = this.#options;
    const { signal } = this.#closing;
    const from = clock.monotonic();
    let toldAt = from;
    const onProgress = (bytes: number) => {
      if (clock.monotonic() - toldAt < progressEveryMs) return;
      toldAt = clock.monotonic();
      logger.info({ app, image: source, bytes }, 'still fetching an image');
    };
    const bounds = { directory, maxBytes, signal, clock, onProgress };
    logger.info({ app, image: source }, 'fetching an image that is not here yet');
    await boundedRun('skopeo', copyArguments(source, join(directory, 'layout')), bounds);
    const { digest, text } = await readLayout(join(directory, 'layout'));
    if (existsSync(this.#path(digest))) return digest;
    imageConfig(text);
    const whole = join(directory, 'whole');
    await mkdir(whole, { mode: 0o700 });
    await boundedRun('umoci', ['raw', 'unpack', '--image', `${directory}/layout:image`, join(whole, 'rootfs')], bounds);
    const bytes = await sizeOf(whole);
    if (bytes > maxBytes) throw new Error(`it is larger than runtimes.oci.imageSize (${maxBytes} bytes)`);
    await writeFile(join(whole, 'bytes'), String(bytes));
    await writeFile(join(whole, 'config.json'), text);
    // Its name must not be on the disk before its files are.
    await promisify(execFile)('sync', ['--file-system', whole], { env: { PATH: usualPath } });
    await rename(whole, this.#path(digest));
    const durationMs = Math.round(clock.monotonic() - from);
    logger.info({ app, image: source, digest, bytes, durationMs }, 'fetched an image');
    return digest;
  }

  async #note(key: string, digest: string, name: string): Promise<void> {
    const draft = this.#path(name, 'ref');
    await writeFile(draft, digest);
    await rename(draft, this.#path('refs', key));
  }

  async #sweep(): Promise<void> {
    const { directory, inUse, keptBytes, clock, logger } = this.#options;
    const used = await inUse();
    const unused = (await readdir(directory)).filter((name) => /^[0-9a-f]{64}$/.test(name) && !used.has(name));
    const found = await Promise.all(
      unused.map(async (digest) => ({
        digest,
        at: (await stat(this.#path(digest))).mtimeMs,
        bytes: Number(await readFile(this.#path(digest, 'bytes'), 'utf8').catch(() => '0')),
      })),
    );
    let kept = 0;
    for (const { digest, at, bytes } of found.toSorted((a, b) => b.at - a.at)) {
      kept += bytes;
      const age = clock.now() - at;
      if (age < restMs || (age < unusedMs && kept <= keptBytes)) continue;
      kept -= bytes;
      // A boot may have taken it meanwhile, or another dispatcher removed it.
      if ((await stat(this.#path(digest)).catch(() => undefined))?.mtimeMs !== at) continue;
      const name = nameFor(identify(process.pid));
      await rename(this.#path(digest), this.#path(name));
      await this.#removeTree(name);
      logger.info({ digest, bytes }, 'removed an image that no container uses');
    }
    for (const key of await readdir(this.#path('refs'))) {
      const digest = await readFile(this.#path('refs', key), 'utf8').catch(() => '');
      if (!existsSync(this.#path(digest || 'none'))) await rm(this.#path('refs', key), { force: true });
    }
  }

  async #touch(directory: string): Promise<void> {
    const now = this.#options.clock.now() / 1_000;
    await utimes(directory, now, now);
  }

  async #removeTree(name: string): Promise<void> {
    // Of a large tree node itself would hold up the event loop.
    await promisify(execFile)('rm', ['-rf', '--', this.#path(name)], { env: { PATH: usualPath } });
  }

  #path(...names: string[]): string {
    return join(this.#options.directory, ...names);
  }
}

/** Names what an image is now: a layout or an archive may be replaced, but what a registry has stays as it was fetched first. */
async function keyOf({ source, path }: PackedImage): Promise<string> {
  const hash = createHash('sha256').update(source);
  if (path !== undefined && source.startsWith('oci:')) hash.update(await readBounded(join(path, 'index.json')));
  else if (path !== undefined) {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true });
    hash.update(`\0${ino}\0${size}\0${mtimeNs}`);
  }
  return hash.digest('hex');
}

function copyArguments(source: string, layout: string): string[] {
  const [, host = ''] = /^docker:\/\/([^/:]+)/.exec(source) ?? [];
  return [
    // Without a policy of the host, skopeo would refuse everything.
    ...(existsSync('/etc/containers/policy.json') ? [] : ['--insecure-policy']),
    ...['copy', '--quiet', '--remove-signatures'],
    // As Docker Engine does for a registry on this machine.
    ...(host === 'localhost' || (isIPv4(host) && host.startsWith('127.')) ? ['--src-tls-verify=false'] : []),
    ...[source, `oci:${layout}:image`],
  ];
}

/**
 * The digest of an image's configuration, which names what its layers hold, and its text. skopeo has verified both, and umoci verifies
 * each layer, but not that none is missing: an image with another's configuration and fewer layers would count as that one.
 */
async function readLayout(layout: string): Promise<{ readonly digest: string; readonly text: string }> {
  const blob = (digest: string) => join(layout, 'blobs', 'sha256', digest);
  const index = JSON.parse(await readBounded(join(layout, 'index.json'))) as { manifests?: { digest?: unknown }[] };
  const manifest = hexOf(index.manifests?.[0]?.digest);
  const { config, layers } = JSON.parse(await readBounded(blob(manifest))) as {
    config?: { digest?: unknown };
    layers?: unknown;
  };
  const digest = hexOf(config?.digest);
  const text = await readBounded(blob(digest));
  const { rootfs } = JSON.parse(text) as { rootfs?: { diff_ids?: unknown } };
  const named = rootfs?.diff_ids;
  if (!Array.isArray(layers) || !Array.isArray(named) || layers.length !== named.length)
    throw new Error('it has other layers than its configuration names');
  return { digest, text };
}

function hexOf(digest: unknown): string {
  const hex = typeof digest === 'string' ? digestPattern.exec(digest)?.[1] : undefined;
  if (hex === undefined) throw new Error(`it has the digest ${JSON.stringify(digest)}, which is none of sha256`);
  return hex;
}

async function readBounded(path: string): Promise<string> {
  // Opening a pipe would wait for its writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error(`${path} is not a file`);
    if (stats.size > largestDocument) throw new Error(`${path} is larger than ${largestDocument} bytes`);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(stats.size), 0, stats.size, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

async function sizeOf(directory: string): Promise<number> {
  const { stdout } = await promisify(execFile)('du', ['-s', '-k', directory], { env: { PATH: usualPath } });
  return Number.parseInt(stdout, 10) * 1_024;
}

/** Waits for a lock, which ends with this process or its `stdin`. */
async function lockFile(path: string, signal: AbortSignal): Promise<ChildProcess> {
  const script = 'echo; read -r end';
  const child = spawn('flock', ['--exclusive', path, '/bin/sh', '-c', script], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { PATH: usualPath },
    signal,
  });
  child.stdin.on('error', () => {});
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'close').then(() => Promise.reject(new Error(`cannot lock ${path}`))),
  ]);
  child.on('error', () => {});
  return child;
}

function nameFor({ pid, startTime }: ProcessIdentity): string {
  return `new-${pid}-${startTime}-${randomBytes(6).toString('hex')}`;
}

function ownerOf(name: string): ProcessIdentity {
  const [, pid, startTime = ''] = name.split('-');
  return { ...identify(process.pid), pid: Number(pid), startTime };
}

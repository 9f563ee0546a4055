import { existsSync, lstatSync, readlinkSync, type Stats } from 'node:fs';
import { join, resolve } from 'node:path';
import type { App } from '../../model/app.js';
import type { OciImage } from '../../model/oci-image.js';
import { isWithin } from '../mounts/mount-policy.js';

/** Where programs are looked for if the app's environment has no PATH. */
export const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Why a container would find neither its command nor its working directory; undefined if names do not tell. Looked up beforehand, since
 * the shell that starts the command could report only its exit.
 */
export function commandFault(app: App, image: OciImage): string | undefined {
  const [program = ''] = app.command ?? [];
  const { cwd = '/', env } = app;
  const where = image.kind === 'host' ? `on this host's part that it sees` : `in ${image.path}`;
  if (!isThere(cwd, app, image)) {
    return `there is no directory ${cwd} ${where}, nor is it mounted; correct 'cwd', or add it to 'mounts'`;
  }
  const candidates = program.includes('/')
    ? [resolve(cwd, program)]
    : (env['PATH'] ?? usualPath).split(':').map((directory) => resolve(cwd, directory, program));
  if (candidates.some((path) => isThere(path, app, image))) return undefined;
  return `there is no program ${program} ${where}, nor is it mounted; install it there, or correct 'command'`;
}

/** False only if the path certainly does not exist in the container. */
function isThere(path: string, { mounts }: App, image: OciImage): boolean {
  const covering = mounts
    .filter(({ target }) => isWithin(path, target))
    .toSorted((a, b) => b.target.length - a.target.length);
  const [mount] = covering;
  if (mount) return existsSync(join(mount.source, path.slice(mount.target.length)));
  if (['/dev', '/proc', '/run', '/sys', '/tmp'].some((own) => isWithin(path, own))) return true;
  if (image.kind === 'rootfs') return isInImage(image.path, path);
  return path === '/' || (/^\/(usr|s?bin|lib(x?32|64)?)(\/|$)/.test(path) && existsSync(path));
}

/** As many as Linux follows. */
const mostLinks = 40;

/** Whether an image has this absolute path, whose links lead to places in the image. */
export function isInImage(root: string, path: string): boolean {
  const partsOf = (text: string) => text.split('/').filter((part) => part !== '' && part !== '.');
  const left = partsOf(path);
  let at: string[] = [];
  let links = 0;
  for (let part = left.shift(); part !== undefined; part = left.shift()) {
    if (part === '..') {
      at.pop();
      continue;
    }
    const full = join(root, ...at, part);
    const found = look(full);
    if (!found) return false;
    if (!found.isSymbolicLink()) at.push(part);
    else {
      if ((links += 1) > mostLinks) return false;
      const target = readlinkSync(full);
      if (target.startsWith('/')) at = [];
      left.unshift(...partsOf(target));
    }
  }
  return true;
}

function look(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

import { existsSync, lstatSync, readlinkSync, type Stats } from 'node:fs';
import { join, resolve } from 'node:path';
import { textOf } from '../../machine/text-of.js';
import type { App } from '../../model/app.js';
import { isWithin } from '../mounts/mount-policy.js';

/** Where programs are looked for if the app's environment has no PATH. */
export const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Of a PATH, which an image may choose, what is looked at. */
const longestSearch = 4_096;
const mostDirectories = 64;

/** Where the root file system of a container comes from: the host, or a directory. */
type Root = { readonly kind: 'host' } | { readonly kind: 'rootfs' | 'packed'; readonly path: string };

/**
 * Why a container would find neither its command nor its working directory; undefined if names do not tell. Looked up beforehand, since
 * the shell that starts the command could report only its exit.
 */
export function commandFault(app: App, image: Root): string | undefined {
  const [program = ''] = app.command ?? [];
  const { cwd = '/', env } = app;
  const where = image.kind === 'host' ? `on this host's part that it sees` : `in ${app.image}`;
  if (!isThere(cwd, app, image)) {
    return `there is no directory ${cwd} ${where}, nor is it mounted; correct 'cwd', or add it to 'mounts'`;
  }
  const candidates = program.includes('/')
    ? [resolve(cwd, program)]
    : (env['PATH'] ?? usualPath)
        .slice(0, longestSearch)
        .split(':', mostDirectories)
        .map((directory) => resolve(cwd, directory, program));
  if (candidates.some((path) => isThere(path, app, image))) return undefined;
  return `there is no program ${program} ${where}, nor is it mounted; install it there, or correct 'command'`;
}

/** False only if the path certainly does not exist in the container. */
function isThere(path: string, { mounts }: App, image: Root): boolean {
  const covering = mounts
    .filter(({ target }) => isWithin(path, target))
    .toSorted((a, b) => b.target.length - a.target.length);
  const [mount] = covering;
  if (mount) return existsSync(join(mount.source, path.slice(mount.target.length)));
  if (['/dev', '/proc', '/run', '/sys', '/tmp'].some((own) => isWithin(path, own))) return true;
  if (image.kind !== 'host') return isInImage(image.path, path);
  return path === '/' || (/^\/(usr|s?bin|lib(x?32|64)?)(\/|$)/.test(path) && existsSync(path));
}

/** As many as Linux follows. */
const mostLinks = 40;
const largestText = 1024 * 1024;

/** Whether an image has this absolute path, whose links lead to places in the image. */
export function isInImage(root: string, path: string): boolean {
  return placeInImage(root, path) !== undefined;
}

/** The text of a file in an image; '' if it is none, or larger than any of its kind. */
export function textInImage(root: string, path: string): string {
  const place = placeInImage(root, path);
  const found = place === undefined ? undefined : look(place);
  // A device or a pipe might never end.
  return place !== undefined && found?.isFile() === true && found.size <= largestText ? textOf(place) : '';
}

function placeInImage(root: string, path: string): string | undefined {
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
    if (!found) return undefined;
    if (!found.isSymbolicLink()) at.push(part);
    else {
      if ((links += 1) > mostLinks) return undefined;
      const target = readlinkSync(full);
      if (target.startsWith('/')) at = [];
      left.unshift(...partsOf(target));
    }
  }
  return join(root, ...at);
}

function look(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

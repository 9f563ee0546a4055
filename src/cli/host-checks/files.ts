import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { lmdbPath } from '../../config/cmdb-url.js';
import type { Config } from '../../config/config.js';
import { groupId } from '../../machine/group-id.js';
import type { Findings } from './host-check.js';

/** Whether what must be written can be written, and what must be read can be read. Creates nothing. */
export async function checkFiles(config: Config): Promise<Findings> {
  const { cmdb, admin, stateDir, runtimes, accessLog } = config;
  const { process: processes, docker } = runtimes;
  const store = lmdbPath(cmdb.url);
  const usesDocker = config.apps.some(({ runtime }) => runtime === 'docker');
  const usesOci = config.apps.some(({ runtime }) => runtime === 'oci');
  const found = await Promise.all([
    writableDirectory('stateDir', stateDir),
    writableDirectory('runtimes.process.stateDir', processes.stateDir),
    writableDirectory('runtimes.process.scratchDir', processes.scratchDir),
    usesOci ? writableDirectory('runtimes.oci.stateDir', runtimes.oci.stateDir) : undefined,
    store === undefined ? undefined : writableDirectory('cmdb', store),
    'path' in admin.listen ? writableDirectory('admin.listen', dirname(admin.listen.path)) : undefined,
    accessLog && accessLog.file !== 'stdout' ? existingDirectory('accessLog.file', dirname(accessLog.file)) : undefined,
    'path' in admin.listen ? unknownGroup(admin.socket.group) : undefined,
    readableFile('cmdb.caFile', cmdb.caFile),
    ...(usesDocker
      ? [
          readableFile('runtimes.docker.caFile', docker.tls?.ca),
          readableFile('runtimes.docker.certFile', docker.tls?.cert),
          readableFile('runtimes.docker.keyFile', docker.tls?.key),
        ]
      : []),
  ]);
  return { problems: found.filter((problem) => problem !== undefined), warnings: await closedToGroup(admin) };
}

async function unknownGroup(group: string | undefined): Promise<string | undefined> {
  try {
    if (group !== undefined) groupId(group);
    return undefined;
  } catch (error) {
    return `admin.socket.group: ${(error as Error).message}`;
  }
}

/** A socket for a group is of no use in a directory that the group cannot enter. */
async function closedToGroup({ listen, socket }: Config['admin']): Promise<string[]> {
  if (!('path' in listen) || socket.mode === '0600') return [];
  const directory = dirname(listen.path);
  const found = await stat(directory).catch(() => undefined);
  if (found && (found.mode & 0o011) !== 0) return [];
  const how = found ? 'lets no group enter' : 'will be made for the daemon alone';
  return [
    `admin.socket: ${directory} ${how}; let the group enter it (chgrp and chmod g+x), or put the socket elsewhere`,
  ];
}

/** A directory that does not exist yet must be possible to create: the nearest one above it counts. */
async function writableDirectory(key: string, path: string): Promise<string | undefined> {
  const existing = await nearestExisting(path);
  if (!(await stat(existing)).isDirectory()) return `${key}: ${existing} is not a directory`;
  const allowed = await may(existing, constants.W_OK | constants.X_OK);
  return allowed
    ? undefined
    : `${key}: ${existing} is not writable for this user; change its owner or choose another directory`;
}

/** One that the daemon does not make. */
async function existingDirectory(key: string, path: string): Promise<string | undefined> {
  const isThere = await may(path, constants.F_OK);
  return isThere ? writableDirectory(key, path) : `${key}: there is no directory ${path}; create it`;
}

async function nearestExisting(path: string): Promise<string> {
  const exists = await stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code === 'EACCES',
  );
  return exists || path === dirname(path) ? path : nearestExisting(dirname(path));
}

async function readableFile(key: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const isFile = await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
  if (!isFile) return `${key}: ${path} is not there or is no file`;
  return (await may(path, constants.R_OK)) ? undefined : `${key}: ${path} is not readable for this user`;
}

function may(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

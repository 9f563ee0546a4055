import { dirname, join } from 'node:path';
import { textOf } from './text-of.js';

/** Memory of this machine, or of this process's control group if that has less. In bytes. */
export interface HostMemory {
  readonly totalBytes: number;
  /** Usable without swapping: free memory, and caches that can be dropped. */
  readonly availableBytes: number;
}

/** Undefined if the system does not tell. */
export type ReadMemory = () => HostMemory | undefined;

/** Names of the files and keys of one version of control groups. */
interface Version {
  readonly root: string;
  readonly limit: string;
  readonly usage: string;
  readonly inactive: string;
  readonly active: string;
}

/**
 * Reads /proc/meminfo and the memory limits of this process's control group and its ancestors, of either version, in far less than a
 * millisecond. Sources: proc(5), cgroups(7), the kernel's cgroup-v1/memory and cgroup-v2.
 */
export function readHostMemory(proc = '/proc', cgroups = '/sys/fs/cgroup'): HostMemory | undefined {
  const info = textOf(join(proc, 'meminfo'));
  const totalBytes = kilobytes(info, 'MemTotal');
  const availableBytes = kilobytes(info, 'MemAvailable');
  if (totalBytes === undefined || availableBytes === undefined) return undefined;
  const groups = groupsOf(textOf(join(proc, 'self', 'cgroup')), cgroups);
  return groups.reduce((least, group) => (group.availableBytes < least.availableBytes ? group : least), {
    totalBytes,
    availableBytes,
  });
}

/** This process's group and its ancestors, as far as they have a limit. */
function groupsOf(membership: string, cgroups: string): HostMemory[] {
  return membership.split('\n').flatMap((line) => {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    const isFirst = controllers.split(',').includes('memory');
    if (path === '' || (controllers !== '' && !isFirst)) return [];
    const version = isFirst ? first(join(cgroups, 'memory')) : second(cgroups);
    return ancestors(path).flatMap((group) => memoryOf(join(version.root, group), version) ?? []);
  });
}

function first(root: string): Version {
  const [inactive, active] = ['total_inactive_file', 'total_active_file'];
  return { root, limit: 'memory.limit_in_bytes', usage: 'memory.usage_in_bytes', inactive, active };
}

function second(root: string): Version {
  return { root, limit: 'memory.max', usage: 'memory.current', inactive: 'inactive_file', active: 'active_file' };
}

/** A path and all above it. Inside a container the path may be the host's while this very group is mounted: then only the root exists. */
function ancestors(path: string): string[] {
  return path === '/' ? ['/'] : [path, ...ancestors(dirname(path))];
}

function memoryOf(group: string, version: Version): HostMemory | undefined {
  const limit = wholeNumber(textOf(join(group, version.limit)));
  const usage = wholeNumber(textOf(join(group, version.usage)));
  // Version 1 writes "no limit" as the largest number of pages.
  if (limit === undefined || usage === undefined || limit > Number.MAX_SAFE_INTEGER) return undefined;
  const stat = textOf(join(group, 'memory.stat'));
  const cache = [version.inactive, version.active].map((key) => wholeNumber(fieldOf(stat, key)) ?? 0);
  const used = Math.max(0, usage - cache.reduce((sum, bytes) => sum + bytes, 0));
  return { totalBytes: limit, availableBytes: Math.max(0, limit - used) };
}

function kilobytes(info: string, key: string): number | undefined {
  const amount = wholeNumber(fieldOf(info, `${key}:`).replace(/ kB$/, ''));
  return amount === undefined ? undefined : amount * 1_024;
}

/** The rest of the line that begins with a key; '' if there is none. */
function fieldOf(text: string, key: string): string {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${key} `));
  return line?.slice(key.length).trim() ?? '';
}

function wholeNumber(text: string): number | undefined {
  return /^\d+$/.test(text.trim()) ? Number(text) : undefined;
}

import { readFileSync } from 'node:fs';

/** The privileges of this process that the programs it starts may inherit. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Capabilities that every program keeps, even under an ordinary user. */
  readonly ambient: bigint;
  /** Capabilities that a program keeps if its file allows it. */
  readonly inheritable: bigint;
}

/** Bits of capabilities, from linux/capability.h. */
export const capability = { setgid: 1n << 6n, setuid: 1n << 7n, setpcap: 1n << 8n } as const;

/** Reads the credentials of this process, or those in another status file. */
export function readCredentials(status: string = readFileSync('/proc/self/status', 'utf8')): Credentials {
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? '';
  const numbers = (name: string) => field(name).split(/\s+/).filter(Boolean).map(Number);
  const bits = (name: string) => BigInt(`0x${field(name) || '0'}`);
  return {
    // The effective id, of real, effective, saved and file system id, decides on files and capabilities.
    uid: numbers('Uid')[1] ?? -1,
    gid: numbers('Gid')[1] ?? -1,
    groups: numbers('Groups'),
    ambient: bits('CapAmb'),
    inheritable: bits('CapInh'),
  };
}

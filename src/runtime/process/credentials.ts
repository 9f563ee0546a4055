import { readFileSync } from 'node:fs';

/** What the kernel lets this process do, as far as programs that it starts may do it too. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Capabilities that even programs of an ordinary user keep. */
  readonly ambient: bigint;
  /** Capabilities that programs keep whose file allows it. */
  readonly inheritable: bigint;
}

/** Bits of capabilities, as linux/capability.h has them. */
export const capability = { setgid: 1n << 6n, setuid: 1n << 7n, setpcap: 1n << 8n } as const;

/** Those of this process, or of the status file of another one. */
export function readCredentials(status: string = readFileSync('/proc/self/status', 'utf8')): Credentials {
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? '';
  const numbers = (name: string) => field(name).split(/\s+/).filter(Boolean).map(Number);
  const bits = (name: string) => BigInt(`0x${field(name) || '0'}`);
  return {
    // Of real, effective, saved and file system id: files and powers go by the effective one.
    uid: numbers('Uid')[1] ?? -1,
    gid: numbers('Gid')[1] ?? -1,
    groups: numbers('Groups'),
    ambient: bits('CapAmb'),
    inheritable: bits('CapInh'),
  };
}

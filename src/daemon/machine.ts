import { randomBytes } from 'node:crypto';
import { connectionProbe, type Probe } from '../machine/probe.js';
import { isProvedDead } from '../membership/process-proof.js';
import type { Session } from '../cmdb/cmdb.js';
import { type ReadMemory, readHostMemory } from '../machine/host-memory.js';
import type { RandomBytes } from '../model/random-bytes.js';
import { identify, pidNamespace } from '../machine/proc-fs.js';

/** What the rooms touch of the machine beside clock, CMDB and runtimes. A simulation brings its own. */
export interface Machine {
  /** Identity of this process. */
  readonly process: Session['process'];
  /** Whether a session's process on this machine is proved dead. */
  readonly isProvedDead: (session: Session) => boolean;
  readonly randomBytes: RandomBytes;
  readonly probe: Probe;
  readonly readMemory: ReadMemory;
}

/** The machine this process runs on, `host` by its configured name. */
export function thisMachine(host: string): Machine {
  return {
    process: { ...identify(process.pid), pidNamespace: pidNamespace() },
    isProvedDead: (session) => isProvedDead(session, host),
    randomBytes,
    probe: connectionProbe,
    readMemory: () => readHostMemory(),
  };
}

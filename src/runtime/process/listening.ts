import type { Clock } from '../../model/clock.js';
import { forEachProcess, isRunning, listeningInodes, socketInodes, statOf } from '../../proc-fs.js';
import { membersOf, treeOf } from './members.js';
import type { ProcessRecord } from './records.js';

interface Verdict {
  readonly inodes: string;
  readonly until: number;
}

/** While a foreign program holds a port, readiness asks many times a second; all processes are looked at this often. */
const verdictMs = 500;
const mostVerdicts = 1_000;

/** Whether what listens on the port of an instance is one of its own processes. */
export class Listening {
  readonly #clock: Clock;
  /** Sockets that were found to be foreign, by instance id. */
  readonly #foreign = new Map<string, Verdict>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Undefined where /proc does not tell. */
  async isOwn(record: ProcessRecord): Promise<boolean | undefined> {
    if (!record.process || !isRunning(record.process)) return false;
    const tree = treeOf(record.process.pid);
    const inodes: string[] = [];
    let own: boolean | undefined = false;
    try {
      for await (const inode of listeningInodes(record.port)) {
        inodes.push(inode);
        own = await holdsAny(await tree, [inode]);
        if (own) return true;
      }
    } catch {
      return undefined;
    }
    if (inodes.length === 0) return false;
    if (own === undefined) return undefined;
    if (this.#isKnownForeign(record.id, inodes)) return false;
    // It may have left its parents: then its group or its marker tells.
    const members = await holdsAny(
      (await membersOf(record)).map(({ pid }) => pid),
      inodes,
    );
    if (members === false) this.#remember(record.id, inodes);
    return members;
  }

  #isKnownForeign(id: string, inodes: readonly string[]): boolean {
    const verdict = this.#foreign.get(id);
    return verdict !== undefined && verdict.inodes === String(inodes) && this.#clock.monotonic() < verdict.until;
  }

  #remember(id: string, inodes: readonly string[]): void {
    if (this.#foreign.size >= mostVerdicts) this.#foreign.clear();
    this.#foreign.set(id, { inodes: String(inodes), until: this.#clock.monotonic() + verdictMs });
  }
}

/** Undefined where none was found, but not all that run could be looked into. */
async function holdsAny(pids: readonly number[], inodes: readonly string[]): Promise<boolean | undefined> {
  const held = await forEachProcess(pids, socketInodes);
  if (held.some((sockets) => sockets && inodes.some((inode) => sockets.has(inode)))) return true;
  return pids.some((pid, index) => held[index] === undefined && statOf(pid)) ? undefined : false;
}

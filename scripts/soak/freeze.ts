import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Stops a process (SIGSTOP) so that what it holds can be looked at before it is killed. False where it is gone. */
export function freeze(pid: number): boolean {
  try {
    process.kill(pid, 'SIGSTOP');
    // The signal is taken as soon as the process is about to run; until then it could still accept a connection.
    for (let look = 0; look < 100_000 && stateOf(pid) !== 'T'; look += 1);
    return stateOf(pid) === 'T';
  } catch {
    return false;
  }
}

/** The far ends of the TCP connections that a process of this machine holds. */
export function peerPorts(pid: number): ReadonlySet<number> {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => /^socket:\[(\d+)\]/.exec(link(`/proc/${pid}/fd/${fd}`))?.[1]),
  );
  const [, ...rows] = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').trim().split('\n');
  const columns = rows.map((row) => row.trim().split(/\s+/));
  return new Set(
    columns.filter((row) => inodes.has(row[9])).map(([, , remote]) => Number.parseInt(remote?.split(':')[1] ?? '', 16)),
  );
}

/** Those that a process started itself and whose command line names this program. */
export function childrenOf(pid: number, program: string): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter((child) => child !== '' && readFileSync(`/proc/${child}/cmdline`, 'utf8').includes(program))
      .map(Number);
  } catch {
    return [];
  }
}

function stateOf(pid: number): string | undefined {
  return /^\d+ \(.*\) (\S)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

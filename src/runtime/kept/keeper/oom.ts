import { readFileSync, writeFileSync } from 'node:fs';

const path = '/proc/self/oom_score_adj';
/** Just above -1000, which would make a process immune. */
const spared = '-900';

/**
 * Makes it unlikely that this process is killed when memory runs out, as its apps would be lost with it; does nothing if the system
 * does not allow that. Programs that are started through the returned function do not inherit it.
 */
export function spareFromOom(): <T>(run: () => T) => T {
  const usual = read();
  if (usual === undefined || !write(spared)) return (run) => run();
  return (run) => {
    write(usual);
    try {
      return run();
    } finally {
      write(spared);
    }
  };
}

function read(): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined;
  }
}

function write(value: string): boolean {
  try {
    writeFileSync(path, value);
    return true;
  } catch {
    return false;
  }
}

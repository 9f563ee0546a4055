import { readFileSync, writeFileSync } from 'node:fs';

const path = '/proc/self/oom_score_adj';
/** Short of what makes a process immune. */
const spared = '-900';

/**
 * Lowers the odds that this process is killed when the machine is out of memory, since its apps would be lost with it; nothing
 * happens where the system does not allow that. What is run through the function returned does not inherit it.
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

import { readFileSync } from 'node:fs';
import { processesOf } from '../long-run/vital-signs.js';
import type { SoakApp } from './apps.js';

/** One container: a process with an instance's mark in its environment. */
export interface Living {
  readonly pid: number;
  readonly app: string;
  readonly instance: string;
}

/** What really runs, whatever any store or daemon says. */
export function census(run: string): Living[] {
  return processesOf(run).flatMap((pid) => {
    const instance = instanceOf(pid);
    return instance === undefined ? [] : [{ pid, instance, app: instance.slice(0, instance.lastIndexOf('-')) }];
  });
}

/** Apps of which more run than may: `scale.max`, and one more while it is replaced; of one that must not overlap, one. */
export function overfull(living: readonly Living[], apps: readonly SoakApp[]): string[] {
  return apps.flatMap(({ name, max, overlap }) => {
    const mine = living.filter(({ app }) => app === name).map(({ instance }) => instance);
    const most = overlap ? max + 1 : 1;
    return mine.length <= most ? [] : [`${mine.length} of ${name} run, ${most} may: ${mine.join(', ')}`];
  });
}

/** Undefined where it is gone, or has not become the app yet. */
function instanceOf(pid: number): string | undefined {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    const mark = environment.find((entry) => entry.startsWith('FASTCONTAINER_INSTANCE='));
    return mark?.slice(mark.indexOf('=') + 1);
  } catch {
    return undefined;
  }
}

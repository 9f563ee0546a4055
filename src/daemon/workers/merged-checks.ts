import type { Readiness } from '../../admin/health-routes.js';

type Checks = Readiness['checks'];

export interface WorkerView {
  readonly slot: number;
  readonly pid: number;
  readonly heardAt: number;
  readonly checks: Checks;
}

export interface MergeChecks {
  /** The supervisor's own. */
  readonly own: Checks;
  /** Those that serve. */
  readonly workers: readonly WorkerView[];
  readonly wanted: number;
  /** A worker not heard since then may be frozen. */
  readonly silentSince: number;
}

/** A daemon is ready when its supervisor and every worker is; what is wrong names the worker. */
export function mergeChecks({ own, workers, wanted, silentSince }: MergeChecks): Checks {
  const silent = workers.filter(({ heardAt }) => heardAt < silentSince);
  const checks: Record<string, { ok: boolean; detail?: string }> = { ...own };
  for (const { slot, checks: theirs } of workers) {
    for (const [name, { ok, detail }] of Object.entries(theirs)) {
      if (!ok && checks[name]?.ok !== false) checks[name] = { ok, detail: `worker ${slot}: ${detail ?? 'not ready'}` };
    }
  }
  const faults = [
    ...(workers.length < wanted ? [`${workers.length} of ${wanted} serve`] : []),
    ...silent.map(({ slot, pid }) => `worker ${slot} (pid ${pid}) does not answer`),
  ];
  return { ...checks, workers: faults.length === 0 ? { ok: true } : { ok: false, detail: faults.join('; ') } };
}

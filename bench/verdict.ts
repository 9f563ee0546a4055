import type { Table } from './table.js';

/** One promise of the product beside what was measured. */
export interface Verdict {
  readonly what: string;
  readonly budget: string;
  readonly measured: string;
  /** Undefined: this machine could not show it. */
  readonly held: boolean | undefined;
  /** It says nothing about the speed of the machine: broken, it breaks `--gate`. */
  readonly isStable: boolean;
}

/** A figure that must not exceed its budget; `show` words both. */
export function atMost(
  what: string,
  limit: number,
  measured: number | undefined,
  show: (value: number) => string,
): Verdict {
  if (measured === undefined || Number.isNaN(measured)) {
    return { what, budget: `≤ ${show(limit)}`, measured: 'not measured', held: undefined, isStable: false };
  }
  return { what, budget: `≤ ${show(limit)}`, measured: show(measured), held: measured <= limit, isStable: false };
}

/** As a verdict on bytes or counts, which are the same on every machine. */
export function stable(verdict: Verdict): Verdict {
  return { ...verdict, isStable: true };
}

/** A figure that must be exactly this one. */
export function exactly(what: string, expected: number, measured: number, show: (value: number) => string): Verdict {
  return { what, budget: show(expected), measured: show(measured), held: measured === expected, isStable: true };
}

/** Every budget in one table. */
export function verdictTable(verdicts: readonly Verdict[]): Table {
  return {
    title: 'Budgets',
    columns: ['what', 'budget', 'measured', 'held'],
    rows: verdicts.map(({ what, budget, measured, held }) => [what, budget, measured, word(held)]),
  };
}

function word(held: boolean | undefined): string {
  if (held === undefined) return '—';
  return held ? 'held' : 'NOT HELD';
}

import type { App } from '../../src/model/app.js';
import { testApp } from '../fixtures/app.js';
import type { AppPlan } from './script.js';

/** The apps as the files say, and what they said lately. */
export class Apps {
  readonly #plans: AppPlan[];
  readonly #revisions: number[];
  readonly #now: () => number;
  readonly #removed = new Set<number>();
  readonly #current = new Map<number, App>();
  readonly #maxes: { readonly app: string; readonly until: number; readonly max: number }[] = [];

  constructor(plans: readonly AppPlan[], now: () => number) {
    this.#plans = [...plans];
    this.#revisions = plans.map(() => 1);
    this.#now = now;
    for (const index of plans.keys()) this.#build(index);
  }

  get files(): { put: App[]; remove: string[] } {
    return { put: [...this.#current.values()], remove: [...this.#removed].map(nameOf) };
  }

  /** Whether a file says so at the moment. */
  has(index: number): boolean {
    return this.#current.has(index);
  }

  get(index: number): App | undefined {
    return this.#current.get(index);
  }

  change(index: number, plan: Partial<AppPlan>): void {
    const before = this.#plans[index];
    if (!before) return;
    // A write may still rest on what its writer read before the change.
    this.#maxes.push({ app: nameOf(index), until: this.#now() + staleMs, max: before.max });
    this.#plans[index] = { ...before, ...plan };
    if (this.has(index)) this.#build(index);
  }

  /** Nothing is kept ready any more. */
  wantNone(): void {
    for (const index of this.indices) this.change(index, { min: 0 });
  }

  newRevision(index: number): void {
    this.#revisions[index] = (this.#revisions[index] ?? 1) + 1;
    if (this.has(index)) this.#build(index);
  }

  remove(index: number): void {
    if (this.#current.delete(index)) this.#removed.add(index);
  }

  restore(index: number): void {
    if (this.#plans[index] && !this.has(index)) this.#build(index);
    this.#removed.delete(index);
  }

  restoreAll(): void {
    for (const index of this.#removed) this.restore(index);
  }

  get indices(): number[] {
    return [...this.#current.keys()];
  }

  /** The highest scale.max that anyone may have read. */
  scaleMax(name: string): number {
    const lately = this.#maxes.filter(({ app, until }) => app === name && until >= this.#now());
    const index = this.#plans.findIndex((_, known) => nameOf(known) === name);
    return Math.max(this.#plans[index]?.max ?? 0, ...lately.map(({ max }) => max));
  }

  #build(index: number): void {
    const plan = this.#plans[index] as AppPlan;
    this.#current.set(
      index,
      testApp({
        name: nameOf(index),
        domains: [domainOf(index)],
        env: { REVISION: String(this.#revisions[index]) },
        mounts: plan.local ? [{ source: '/srv/data', target: '/data', readOnly: false, shared: false }] : [],
        scale: { min: Math.min(plan.min ?? 0, plan.max), max: plan.max },
        overlap: plan.overlap ?? true,
        concurrency: {
          target: Math.max(1, Math.floor(plan.concurrency / 2)),
          max: plan.concurrency,
          clientShare: 0.75,
        },
        queue: { max: 20, timeoutMs: 15_000 },
        idleTtlMs: plan.idleTtlMs,
        maxLifetimeMs: plan.maxLifetimeMs,
        pauseAfterMs: plan.pauseAfterMs ?? 0,
        bootTimeoutMs: 5_000,
        drainTimeoutMs: 5_000,
        stopTimeoutMs: 2_000,
      }),
    );
  }
}

const staleMs = 60_000;

export function nameOf(index: number): string {
  return `app${index}`;
}

export function domainOf(index: number): string {
  return `app${index}.example`;
}

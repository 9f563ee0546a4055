import fc from 'fast-check';
import type { Cmdb, DomainConflict } from '../../src/cmdb/cmdb.js';
import type { App } from '../../src/model/app.js';
import { addInstance, confirmGone, type Deployment, emptyDeployment } from '../../src/model/deployment.js';
import { registerUser } from '../../src/model/users.js';
import { nextDueAt } from '../../src/model/schedule.js';
import { testApp } from '../fixtures/app.js';
import { testInstance } from '../fixtures/deployment.js';

/** One call of the port. */
export type Step =
  | { readonly kind: 'apply'; readonly put: readonly App[]; readonly remove: readonly string[] }
  | { readonly kind: 'adopt' | 'gone' | 'use'; readonly app: string; readonly at: number }
  | { readonly kind: 'due'; readonly forwardMs: number; readonly limit: number };

const names = ['a', 'b', 'c', 'd'] as const;
const domains = ['x.example', 'y.example', '*.example', 'z.y.example', '*.y.example'] as const;
export const asked = [...domains, 'other.example', 'o.y.example', 'x.y.z'];

const someApp = fc
  .record({
    name: fc.constantFrom(...names),
    domains: fc.uniqueArray(fc.constantFrom(...domains), { maxLength: 2 }),
    idleTtlMs: fc.constantFrom(1_000, 20_000),
  })
  .map((spec) => testApp({ ...spec, maxLifetimeMs: 100_000 }));

export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('apply' as const),
      put: fc.uniqueArray(someApp, { maxLength: 4, selector: ({ name }) => name }),
      remove: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 2 }),
    }),
    fc.record({
      kind: fc.constantFrom('adopt' as const, 'gone' as const, 'use' as const),
      app: fc.constantFrom(...names),
      at: fc.integer({ min: 0, max: 30_000 }),
    }),
    fc.record({
      kind: fc.constant('due' as const),
      forwardMs: fc.integer({ min: 0, max: 30_000 }),
      limit: fc.constantFrom(1, 100),
    }),
  ),
  { minLength: 1, maxLength: 14 },
);

/** What an update of the step does. */
export function changeOf({ kind, app, at }: Extract<Step, { app: string }>): (current: Deployment) => Deployment {
  if (kind === 'adopt')
    return (current) => addInstance(current, testInstance({ id: `${app}-1`, lastActiveAt: at, readyAt: at }));
  if (kind === 'gone') return (current) => confirmGone(current, `${app}-1`);
  return (current) => registerUser(current, `${app}-1`, 'me', at);
}

interface Entry {
  app: App;
  removed: boolean;
  deployment: Deployment;
}

/** The store as its port describes it, in a few lines. */
export class Model {
  readonly entries = new Map<string, Entry>();
  /** Apps handed out, and until when they are postponed. */
  readonly postponed = new Map<string, number>();

  /** Whether these conflicts are right; takes the others of the change. */
  apply(put: readonly App[], remove: readonly string[], conflicts: readonly DomainConflict[]): string | undefined {
    for (const name of remove) if (!put.some((app) => app.name === name)) this.#remove(name);
    const refused = new Set(conflicts.map(({ wantedBy }) => wantedBy));
    for (const app of put) {
      if (refused.has(app.name)) continue;
      const deployment = this.entries.get(app.name)?.deployment ?? emptyDeployment(app.name);
      this.entries.set(app.name, { app, removed: false, deployment });
    }
    for (const domain of domains) {
      const owners = [...this.entries.values()].filter((entry) => !entry.removed && entry.app.domains.includes(domain));
      if (owners.length > 1) return `${domain} has two owners`;
    }
    for (const { domain, wantedBy, ownedBy } of conflicts) {
      const wants = put.find(({ name }) => name === wantedBy)?.domains.includes(domain);
      const owner = this.entries.get(ownedBy);
      const owns = owner && !owner.removed && owner.app.domains.includes(domain);
      if (!wants || !owns || ownedBy === wantedBy)
        return `no conflict: ${JSON.stringify({ domain, wantedBy, ownedBy })}`;
    }
    return undefined;
  }

  update(name: string, change: (current: Deployment) => Deployment): Deployment {
    const entry = this.entries.get(name);
    const current = entry?.deployment ?? emptyDeployment(name);
    const deployment = change(current);
    if (deployment === current) return current;
    if (deployment.instances.length === 0 && (!entry || entry.removed)) this.entries.delete(name);
    else if (entry) entry.deployment = deployment;
    else this.entries.set(name, { app: testApp({ name, domains: [] }), removed: true, deployment });
    return deployment;
  }

  find(domain: string): string | undefined {
    for (const claim of [domain, domain.replace(/^[^.]*/, '*')]) {
      for (const { app, removed } of this.entries.values())
        if (!removed && app.domains.includes(claim)) return app.name;
    }
    return undefined;
  }

  /** Apps that must be due at `now`, unless they were just handed out. */
  mustBeDue(now: number): string[] {
    return [...this.entries.values()]
      .filter(({ app, removed, deployment }) => {
        const at = removed && deployment.instances.length > 0 ? 0 : nextDueAt(deployment, app);
        return at !== undefined && at <= now && (this.postponed.get(app.name) ?? 0) <= now;
      })
      .map(({ app }) => app.name);
  }

  #remove(name: string): void {
    const entry = this.entries.get(name);
    if (!entry) return;
    if (entry.deployment.instances.length === 0) this.entries.delete(name);
    else entry.removed = true;
  }
}

/** Carries out the steps on two handles by turns and compares after each. Throws where store and model differ. */
export async function follow(run: readonly Step[], handles: readonly Cmdb[]): Promise<void> {
  const model = new Model();
  let now = 0;
  for (const [index, step] of run.entries()) {
    const cmdb = handles[index % handles.length] as Cmdb;
    if (step.kind === 'apply') {
      const problem = model.apply(step.put, step.remove, (await cmdb.apply(step)) as DomainConflict[]);
      if (problem !== undefined) throw new Error(problem);
    } else if (step.kind === 'due') {
      now += step.forwardMs;
      const must = model.mustBeDue(now);
      const due = await cmdb.due(now, step.limit);
      if (step.limit > must.length) same('due', due.filter((name) => must.includes(name)).toSorted(), must.toSorted());
      if (due.length > step.limit) throw new Error('more than the limit');
      for (const name of due) model.postponed.set(name, now + 5_000);
    } else {
      const before = model.entries.get(step.app)?.deployment;
      const { deployment } = await cmdb.update(step.app, changeOf(step));
      const after = model.update(step.app, changeOf(step));
      same('update', deployment, after);
      // A change may bring a postponed app forward again; a call that changes nothing does not.
      if (after !== before) model.postponed.delete(step.app);
      if (model.entries.get(step.app)?.removed) model.postponed.set(step.app, now + 5_000);
    }
    await compare(model, handles[(index + 1) % handles.length] as Cmdb);
  }
}

async function compare(model: Model, cmdb: Cmdb): Promise<void> {
  for (const domain of asked) same(domain, (await cmdb.find({ domain }))?.app.name, model.find(domain));
  for (const name of names) {
    const entry = model.entries.get(name);
    const record = await cmdb.find({ app: name });
    same(name, record && [record.removed, record.deployment], entry && [entry.removed, entry.deployment]);
    if (entry && !entry.removed) same(`${name} itself`, record?.app, entry.app);
  }
  const all = async (which: 'all' | 'active') => {
    const found: string[] = [];
    for await (const { app } of cmdb.list(which)) found.push(app.name);
    return found.toSorted();
  };
  same('all', await all('all'), [...model.entries.keys()].toSorted());
  const active = [...model.entries.values()].filter(({ deployment }) => deployment.instances.length > 0);
  same('active', await all('active'), active.map(({ app }) => app.name).toSorted());
}

function same(what: string, found: unknown, wanted: unknown): void {
  const [left, right] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (left !== right) throw new Error(`${what}: the store says ${left}, the model ${right}`);
}

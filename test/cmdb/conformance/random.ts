import fc from 'fast-check';
import { confirmGone } from '../../../src/model/deployment.js';
import { asked, changeOf, follow, type Step, steps } from '../model.js';
import { names, ownerOf, type CmdbUnderTest, type StoreTest } from './store.js';

/** Random sequences and interleavings; a failure prints its seed and the shortest run that fails. */
export function randomConformance(test: StoreTest): void {
  test('random calls on two handles leave the store as a simple model of it', async (t, cmdb, store) => {
    const handles = [cmdb, store.open()];
    await fc.assert(
      fc.asyncProperty(steps, async (run) => {
        // Also after a failure: a shorter run that follows it must not find what this one left.
        await follow(run, handles).finally(() => empty(store, handles[0]!));
      }),
      { numRuns: 120 },
    );
    t.same(await store.remnants(), []);
  });

  test('random calls at the same time leave the store whole', async (t, cmdb, store) => {
    const handles = [cmdb, store.open()];
    const carryOut = async (step: Step, index: number) => {
      const handle = handles[index % 2]!;
      if (step.kind === 'apply') await handle.apply(step);
      else if (step.kind === 'due') await handle.due(step.forwardMs, step.limit);
      else await handle.update(step.app, changeOf(step));
    };
    await fc.assert(
      fc.asyncProperty(steps, async (run) => {
        await Promise.all(run.map(carryOut));
        await checkWhole(handles[0]!);
        await empty(store, handles[1]!);
      }),
      { numRuns: 120 },
    );
    t.same(await store.remnants(), []);
  });
}

type Handle = ReturnType<CmdbUnderTest['open']>;

/** No domain has two owners, the claims lead to them, and whatever runs becomes due. */
async function checkWhole(cmdb: Handle): Promise<void> {
  const owners = new Map<string, string>();
  for await (const { app, removed, deployment } of cmdb.list('all')) {
    if (removed && deployment.instances.length === 0) throw new Error(`${app.name} was removed and is still there`);
    for (const domain of removed ? [] : app.domains) {
      if (owners.has(domain)) throw new Error(`${domain} belongs to ${owners.get(domain)} and ${app.name}`);
      owners.set(domain, app.name);
    }
  }
  for (const domain of asked) {
    const wanted = owners.get(domain) ?? owners.get(domain.replace(/^[^.]*/, '*'));
    const found = await ownerOf(cmdb, domain);
    if (found !== wanted) throw new Error(`${domain} leads to ${found}, and is listed by ${wanted}`);
  }
  const active = await names(cmdb, 'active');
  const due = (await cmdb.due(1e12, 100)).toSorted();
  if (due.join() !== active.join()) throw new Error(`active are ${active.join()}, and due ${due.join()}`);
}

async function empty(store: CmdbUnderTest, cmdb: Handle): Promise<void> {
  const all = await names(cmdb, 'all');
  await cmdb.apply({ put: [], remove: all });
  for (const name of all) await cmdb.update(name, (current) => confirmGone(current, `${name}-1`));
  // Early entries of the schedule are harmless, and go when they are looked at.
  await cmdb.due(1e15, 100);
  const left = await store.remnants();
  if (left.length > 0) throw new Error(`left behind: ${left.join()}`);
}

import type { Ran } from '../model/usage.js';
import type { Runtime } from '../runtime/runtime.js';

/** When a container was started and ended, as far as its runtime can tell. Never throws: the end of an instance must not wait for it. */
export async function timesOf(runtime: Runtime, id: string): Promise<Ran> {
  const inspection = await runtime.inspect(id).catch(() => undefined);
  if (!inspection || inspection.state === 'gone') return { id };
  const { startedAt } = inspection;
  return { id, startedAt, ...(inspection.state === 'exited' && { endedAt: inspection.endedAt }) };
}

import type { Inspection } from '../runtime.js';
import { type Place, exitCause, findContainer } from './container.js';
import type { Engine } from './engine.js';
import { at } from './reply.js';

/** See Runtime.inspect. Whether something listens inside cannot be told from outside. */
export async function inspect(engine: Engine, place: Place, id: string): Promise<Inspection> {
  const container = await findContainer(engine, id, place);
  if (!container) return { state: 'gone' };
  const state = at(container.reply, 'State');
  if (at(state, 'Running') === true) return { state: 'running', listening: undefined };
  return { state: 'exited', cause: exitCause(state) };
}

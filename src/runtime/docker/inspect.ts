import type { Inspection } from '../runtime.js';
import { type Place, exitCause, findContainer, ownAddress, timeAt } from './container.js';
import type { Engine } from './engine.js';
import type { OwnListening } from './listening.js';
import { at } from './reply.js';

interface InspectContext {
  readonly engine: Engine;
  readonly place: Place;
  readonly listening: OwnListening;
}

/**
 * See Runtime.inspect. Checks whether the container listens only if it is published: at its own address nothing else can accept
 * connections.
 */
export async function inspect({ engine, place, listening }: InspectContext, id: string): Promise<Inspection> {
  const container = await findContainer(engine, id, place);
  if (!container) return { state: 'gone' };
  const state = at(container.reply, 'State');
  const startedAt = timeAt(state, 'StartedAt');
  if (at(state, 'Running') !== true)
    return { state: 'exited', cause: exitCause(state), startedAt, endedAt: timeAt(state, 'FinishedAt') };
  const { isPublished, address } = ownAddress(container.reply, place);
  return { state: 'running', startedAt, listening: isPublished && address ? await listening.at(address) : undefined };
}

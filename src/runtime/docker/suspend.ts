import type { Suspender } from '../runtime.js';
import { findContainer, type OwnContainer, type Place } from './container.js';
import type { Engine } from './engine.js';
import { at } from './reply.js';

const limitMs = 4_000;

/** Freezes containers by the engine, which uses the kernel's control groups. */
export function suspender(engine: Engine, place: Place): Suspender {
  return {
    async suspend(id) {
      const container = await running(engine, place, id);
      if (!isPaused(container)) await tell(engine, container, 'pause', id);
    },
    async resume(id) {
      const container = await running(engine, place, id);
      if (isPaused(container)) await tell(engine, container, 'unpause', id);
    },
  };
}

/** Lets a container run, so that it can be stopped. */
export async function unpause(engine: Engine, container: OwnContainer, id: string): Promise<void> {
  if (isPaused(container)) await tell(engine, container, 'unpause', id);
}

function isPaused({ reply }: OwnContainer): boolean {
  return at(reply, 'State', 'Paused') === true;
}

async function running(engine: Engine, place: Place, id: string): Promise<OwnContainer> {
  const container = await findContainer(engine, id, place);
  if (container && at(container.reply, 'State', 'Running') === true) return container;
  throw new Error(`there is no running container of instance ${id} on Docker Engine at ${engine.where}`);
}

async function tell(engine: Engine, { containerId }: OwnContainer, verb: 'pause' | 'unpause', id: string) {
  const path = ['containers', containerId, verb];
  await engine.bytes(`${verb} container ${id}`, { method: 'POST', path }, { limitMs });
}

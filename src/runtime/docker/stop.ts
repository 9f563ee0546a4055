import type { Clock } from '../../model/clock.js';
import { type Place, chosenAddress, findContainer } from './container.js';
import { EngineError } from './engine-error.js';
import type { Engine } from './engine.js';
import type { Network } from './network.js';
import { at } from './reply.js';
import { removeContainer } from './remove.js';
import { unpause } from './suspend.js';

interface StopContext {
  readonly engine: Engine;
  readonly place: Place;
  readonly network: Network;
  readonly clock: Clock;
}

/** Sends the image's stop signal (SIGTERM by default), SIGKILL after `graceMs`, and removes the container. One that is paused runs before. */
export async function stop(context: StopContext, id: string, graceMs: number): Promise<void> {
  const { engine, place, network, clock } = context;
  const container = await findContainer(engine, id, place);
  if (!container) return;
  if (at(container.reply, 'State', 'Running') === true) {
    await unpause(engine, container, id);
    await end(engine, container.containerId, id, graceMs);
  }
  await removeContainer(engine, container.containerId, id, clock);
  const address = chosenAddress(container.reply, place);
  if (address !== undefined) network.known()?.pool?.free(address);
}

/** Ignores errors of the engine, as the removal kills the container anyway. */
async function end(engine: Engine, containerId: string, id: string, graceMs: number): Promise<void> {
  const graceS = Math.max(0, Math.ceil(graceMs / 1000));
  try {
    await engine.bytes(
      `stop container ${id}`,
      { method: 'POST', path: ['containers', containerId, 'stop'], query: { t: graceS } },
      { limitMs: graceS * 1000 + 10_000 },
    );
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
  }
}

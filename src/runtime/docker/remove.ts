import { type Clock, sleep } from '../../model/clock.js';
import { inspectContainer } from './container.js';
import { EngineError } from './engine-error.js';
import type { Engine } from './engine.js';

const confirmMs = 15_000;
const pollMs = 50;

/**
 * Kills and removes a container with its anonymous volumes. Resolves when the engine no longer knows it, even if it was gone before.
 * Throws if it is still there after 15 s.
 */
export async function removeContainer(engine: Engine, containerId: string, name: string, clock: Clock): Promise<void> {
  const startedAt = clock.monotonic();
  for (;;) {
    const problem = await tryRemove(engine, containerId, name);
    if ((await inspectContainer(engine, containerId, name)) === undefined) return;
    if (clock.monotonic() - startedAt > confirmMs) {
      throw problem ?? new Error(`container ${name} is still there though Docker Engine at ${engine.where} removed it`);
    }
    // Another removal is under way, or the kernel still holds a mount: it needs a moment.
    await sleep(clock, pollMs);
  }
}

/** Resolves to the engine's refusal, if there was one; throws if it could not be asked. */
async function tryRemove(engine: Engine, containerId: string, name: string): Promise<EngineError | undefined> {
  try {
    await engine.bytes(
      `remove container ${name}`,
      { method: 'DELETE', path: ['containers', containerId], query: { force: true, v: true } },
      { limitMs: confirmMs },
    );
    return undefined;
  } catch (error) {
    if (error instanceof EngineError && error.status !== undefined) return error;
    throw error;
  }
}
